//! Text of files that people edit. Editors add marks to it that nobody sees.

/// Reason why bytes are not the text of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    #[error("is text in UTF-16: save it as UTF-8, e.g. with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    /// Not UTF-8 at this byte.
    #[error("is not text in UTF-8 (byte {0}): save it as UTF-8")]
    Other(usize),
}

/// Returns the text of a file without its byte order mark.
///
/// # Errors
/// [`NotText`].
pub fn text(bytes: &[u8]) -> Result<&str, NotText> {
    if matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [_, 0, ..] | [0, _, ..]) {
        return Err(NotText::Utf16);
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|why| NotText::Other(why.valid_up_to() + 1))
}
