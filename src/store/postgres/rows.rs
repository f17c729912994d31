//! Conversions between column values and the values of this program.
