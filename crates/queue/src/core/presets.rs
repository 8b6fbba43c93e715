//! Presets: changes work at once and are taken back if they cannot be stored.

use std::sync::Arc;

use mconn_model::{AppId, ModuleName, Preset};
use mconn_store::Write;

use super::outbox::{BatchNo, Request};
use super::{Core, Now, Refused};
use crate::{Notice, PresetChange};

/// What a change of a preset comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PresetRequest {
    pub(crate) change: PresetChange,
    pub(crate) batch: BatchNo,
}

impl Core {
    /// Creates or replaces a preset. `last_edit` is ours, whatever the client sent (spec/mconn.md section 8).
    pub(crate) fn put_preset(
        &mut self,
        slot: usize,
        preset: Preset,
        now: Now,
    ) -> Result<PresetRequest, Refused> {
        if self.outbox.refuses(now.mono) {
            return Err(Refused::Store);
        }
        let before = self.slots[slot].presets.get(&preset.app).cloned();
        let last_edit = before.is_some().then_some(now.wall);
        let preset = Arc::new(Preset { last_edit, ..preset });
        let write = Write::PutPreset(preset.clone());
        if let Some(limit) = self.record_limit {
            let size = write.size();
            if size > limit {
                return Err(Refused::TooLarge { size, limit });
            }
        }
        self.slots[slot].presets.insert(preset.app.clone(), preset.clone());
        let (module, app) = (preset.module.clone(), preset.app.clone());
        let change = if before.is_some() { PresetChange::Modified } else { PresetChange::Created };
        self.notices.push(match change {
            PresetChange::Created => Notice::PresetCreated { module: module.clone(), app: app.clone() },
            PresetChange::Modified => Notice::PresetModified { module: module.clone(), app: app.clone() },
        });
        let batch = self.outbox.request(write, Request::Preset { module, app, before });
        Ok(PresetRequest { change, batch })
    }

    /// Removes a preset; `Ok(None)` if there is none.
    pub(crate) fn delete_preset(
        &mut self,
        slot: usize,
        app: &AppId,
        now: Now,
    ) -> Result<Option<BatchNo>, Refused> {
        if self.outbox.refuses(now.mono) {
            return Err(Refused::Store);
        }
        let Some(before) = self.slots[slot].presets.remove(app) else { return Ok(None) };
        let module = self.slots[slot].name();
        self.notices.push(Notice::PresetDeleted { module: module.clone(), app: app.clone() });
        let write = Write::RemovePreset { module: module.clone(), app: app.clone() };
        let request = Request::Preset { module, app: app.clone(), before: Some(before) };
        Ok(Some(self.outbox.request(write, request)))
    }

    pub(super) fn restore_preset(&mut self, module: &ModuleName, app: AppId, before: Option<Arc<Preset>>) {
        let Some(slot) = self.slot_of(module.as_str()) else { return };
        match before {
            Some(before) => self.slots[slot].presets.insert(app, before),
            None => self.slots[slot].presets.remove(&app),
        };
    }
}
