//! Presets, both ways.

use mconn_model::Preset;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

/// A preset as it is answered: known fields in the original's order, unknown ones after them.
#[derive(Debug)]
pub(crate) struct PresetOut<'a>(pub(crate) &'a Preset);

impl Serialize for PresetOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let preset = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("appId", preset.app.as_str())?;
        map.serialize_entry("moduleName", preset.module.as_str())?;
        map.serialize_entry("status", &*preset.status)?;
        if !preset.options.is_null() {
            map.serialize_entry("options", &preset.options)?;
        }
        match preset.last_edit {
            Some(time) => map.serialize_entry("lastEdit", &time.as_millis())?,
            None => map.serialize_entry("lastEdit", &false)?,
        }
        for (name, value) in &preset.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What a module shall do for one app. Unknown fields are kept. (Only described here: [`PresetOut`] writes it, and the
/// routes read it field by field.)
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresetShape {
    /// The whole id of the app.
    app_id: String,
    /// A loaded module.
    module_name: String,
    /// `enabled` works, anything else does not.
    status: Option<String>,
    /// Whatever the module wants.
    options: Option<Value>,
    /// `false` after creation, then milliseconds since the epoch. What a client sends is ignored.
    last_edit: Option<Value>,
}
