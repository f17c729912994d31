//! Palette: one source, and its contrasts (WCAG 2.2, 1.4.3 and 1.4.11).

use std::{collections::BTreeMap, fs, path::Path};

const PALETTE: &str = include_str!("../../../src/ops/console/assets/palette.css");

/// Light and dark value of each colour.
fn colours() -> BTreeMap<&'static str, [&'static str; 2]> {
    let colours = PALETTE.split("--").skip(1).filter_map(|rest| {
        let (name, value) = rest.split_once(": light-dark(")?;
        let (light, dark) = value.split(')').next()?.split_once(", ")?;
        Some((name, [light, dark]))
    });
    colours.collect()
}

/// Relative luminance of `#RRGGBB`.
fn luminance(colour: &str) -> f64 {
    let channel = |from: usize| {
        let value = f64::from(u8::from_str_radix(&colour[from..from + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_and_every_series_can_be_seen() {
    let colours = colours();
    assert_eq!(colours.len(), 18, "{colours:?}");
    for theme in [0, 1] {
        let of = |name: &str| colours[name][theme];
        for text in ["text", "muted", "accent", "ok", "warn", "bad"] {
            for ground in ["page", "surface"] {
                let contrast = contrast(of(text), of(ground));
                assert!(contrast >= 5.8, "{text} on {ground}, theme {theme}: {contrast:.2}");
            }
        }
        // The texts of filled buttons, and of the bar of an active key.
        for filled in ["accent", "bad"] {
            let contrast = contrast(of("on-filled"), of(filled));
            assert!(contrast >= 5.8, "on {filled}, theme {theme}: {contrast:.2}");
        }
        for series in ["1", "2", "3", "4", "5", "6", "other"].map(|number| format!("series-{number}")) {
            let contrast = contrast(of(&series), of("page"));
            assert!(contrast >= 3.6, "{series}, theme {theme}: {contrast:.2}");
        }
        let contrast = contrast(of("control"), of("page"));
        assert!(contrast >= 3.0, "borders of controls, theme {theme}: {contrast:.2}");
    }
}

#[test]
fn no_other_file_has_a_colour_of_its_own() {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 10, "{files:?}");
    for file in files.iter().filter(|file| !file.ends_with("palette.css")) {
        let text = fs::read_to_string(file).unwrap();
        let is_colour = |rest: &str| {
            let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
            digits == 6 || digits == 3 && rest[3..].starts_with([';', ' ', ',', '"'])
        };
        let colours = text.split('#').skip(1).filter(|rest| is_colour(rest)).map(|rest| &rest[..6.min(rest.len())]);
        assert_eq!(colours.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", file.display());
    }
}

/// Collects the style sheets and the pages of a folder.
fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|kind| kind == "css" || kind == "html") {
            files.push(path);
        }
    }
}
