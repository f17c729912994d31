//! Settings of one app: its policy, and the ways to sign in to it.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        DeserializeSeed, MapAccess, Visitor,
        value::{MapAccessDeserializer, StringDeserializer},
    },
};

use super::sign_in_section::SignInSection;
use crate::domain::policy::AppPolicy;

/// `[apps.<name>]` in the configuration.
#[derive(Debug, Default, Serialize)]
pub(super) struct AppSection {
    #[serde(flatten)]
    pub(super) policy: AppPolicy,
    /// `[[apps.<name>.sign_in]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sign_in: Vec<SignInSection>,
}

// Derived code for a flattened member would buffer all values, and lose the path of a wrong or unknown one.
impl<'de> Deserialize<'de> for AppSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AppVisitor)
    }
}

struct AppVisitor;

impl<'de> Visitor<'de> for AppVisitor {
    type Value = AppSection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings of an app")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AppSection, A::Error> {
        let mut sign_in = Vec::new();
        let policy = OfPolicy { map, sign_in: &mut sign_in };
        let policy = AppPolicy::deserialize(MapAccessDeserializer::new(policy))?;
        Ok(AppSection { policy, sign_in })
    }
}

/// Members of an app's table that are its policy. The member `sign_in` is kept apart.
struct OfPolicy<'a, A> {
    map: A,
    sign_in: &'a mut Vec<SignInSection>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for OfPolicy<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.map.next_key::<String>()? {
            if name != "sign_in" {
                return seed.deserialize(StringDeserializer::new(name)).map(Some);
            }
            *self.sign_in = self.map.next_value()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
