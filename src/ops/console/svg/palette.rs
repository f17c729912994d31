//! Colours of series, in their fixed order.

/// Colour of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ops::console) enum Palette {
    One,
    Two,
    Three,
    Four,
    Five,
    Six,
    /// Everything that no other series has.
    Other,
}

impl Palette {
    /// Class of the style sheet.
    pub(in crate::ops::console) fn class(self) -> &'static str {
        match self {
            Self::One => "s1",
            Self::Two => "s2",
            Self::Three => "s3",
            Self::Four => "s4",
            Self::Five => "s5",
            Self::Six => "s6",
            Self::Other => "s0",
        }
    }
}
