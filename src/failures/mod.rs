//! Failures that apps report: each is diagnosed from what is known here, and counted.
