//! Text of the columns `loaded` and `loaded_from`: the keys that a node has loaded, and their custody.

use std::collections::BTreeMap;

use crate::domain::ids::{BadKid, Kid};

/// Returns the texts of both columns. The version before reads and writes the first one only.
pub(super) fn to_columns(loaded: &BTreeMap<Kid, Option<String>>) -> (String, String) {
    let kids: Vec<&str> = loaded.keys().map(Kid::as_str).collect();
    let known = loaded.iter().filter_map(|(kid, custody)| Some(format!("{kid}:{}", custody.as_ref()?)));
    (kids.join(","), known.collect::<Vec<_>>().join(","))
}

/// Reads the texts of both columns.
///
/// # Errors
/// The first column has something that is no key id.
pub(super) fn from_columns(loaded: &str, from: Option<&str>) -> Result<BTreeMap<Kid, Option<String>>, BadKid> {
    let known: BTreeMap<&str, &str> = from.unwrap_or_default().split(',').filter_map(|it| it.split_once(':')).collect();
    let kids = loaded.split(',').filter(|kid| !kid.is_empty());
    kids.map(|kid| Ok((kid.parse()?, known.get(kid).map(|custody| (*custody).to_owned())))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kid(n: u8) -> Kid {
        Kid::from_thumbprint(&[n; 32])
    }

    #[test]
    fn a_node_of_the_version_before_does_not_say_from_where() {
        let loaded = BTreeMap::from([(kid(1), Some("store".to_owned())), (kid(2), None)]);
        let (kids, from) = to_columns(&loaded);
        assert_eq!(kids.split(',').collect::<Vec<_>>(), [kid(1).as_str(), kid(2).as_str()]);
        assert_eq!(from_columns(&kids, Some(&from)).unwrap(), loaded);
        assert_eq!(from_columns(kid(1).as_str(), None).unwrap(), [(kid(1), None)].into());
        assert_eq!(from_columns("", Some("")).unwrap(), BTreeMap::new());
        assert!(from_columns("no", None).is_err());
    }
}
