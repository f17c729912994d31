//! The floor of the time, and an operator's acceptance of a clock, as values of the table `meta`.

use rusqlite::Connection;
use serde::{Serialize, de::DeserializeOwned};

use super::{meta, rows};
use crate::{
    clock::{ClockAcceptance, ClockFloor},
    store::ClockRecord,
};

pub(super) const FLOOR: &str = "clock_floor";
const ACCEPTANCE: &str = "clock_acceptance";

/// Returns the floor and the last acceptance. A store of an older version has its latest time for a floor.
pub(super) fn record(c: &Connection) -> rusqlite::Result<ClockRecord> {
    let floor = match get(c, FLOOR)? {
        Some(floor) => Some(floor),
        None => meta::latest_time(c)?.map(ClockFloor::of_unknown_boot),
    };
    Ok(ClockRecord { floor, acceptance: get(c, ACCEPTANCE)? })
}

/// Returns the floor as it is written.
pub(super) fn as_text(c: &Connection) -> rusqlite::Result<Option<String>> {
    let text = |floor: &ClockFloor| serde_json::to_string(floor);
    let text = record(c)?.floor.as_ref().map(text).transpose();
    text.map_err(|why| rusqlite::Error::ToSqlConversionFailure(why.into()))
}

/// Records a floor, unless the one on record is later.
pub(super) fn raise(c: &Connection, floor: &ClockFloor) -> rusqlite::Result<()> {
    if record(c)?.floor.is_some_and(|known| known.time > floor.time) {
        return Ok(());
    }
    put(c, FLOOR, floor)
}

/// Records an acceptance; its floor replaces the one on record, also a later one.
pub(super) fn accept(c: &Connection, acceptance: &ClockAcceptance) -> rusqlite::Result<()> {
    put(c, FLOOR, &acceptance.floor)?;
    put(c, ACCEPTANCE, acceptance)
}

fn get<T: DeserializeOwned>(c: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = meta::get(c, name)?;
    text.map(|text| serde_json::from_str(&text).map_err(|why| rows::damaged(0, why))).transpose()
}

fn put(c: &Connection, name: &str, value: &impl Serialize) -> rusqlite::Result<()> {
    let text = serde_json::to_string(value).map_err(|why| rusqlite::Error::ToSqlConversionFailure(why.into()))?;
    meta::put(c, name, text)
}
