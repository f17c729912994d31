//! Text of the column `apps`: names of apps with commas. No name has one.

use crate::domain::ids::AppName;

/// Returns the text of a list.
pub(super) fn list_of(apps: &[AppName]) -> String {
    apps.iter().map(AppName::as_str).collect::<Vec<_>>().join(",")
}

/// Reads the apps from a text that [`list_of`] made.
pub(super) fn apps_of(list: &str) -> Result<Vec<AppName>, <AppName as std::str::FromStr>::Err> {
    list.split(',').filter(|name| !name.is_empty()).map(str::parse).collect()
}
