//! Presets (spec/mconn.md sections 4.7 and 8). Refusals have HTTP status 200, as in the original.

use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse, Response};
use mconn_model::{AppId, ModuleName, Preset};
use mconn_queue::{CommandError, PresetChange};
use serde_json::{Map, Value};

use crate::body::Posted;
use crate::dto::Done;
use crate::dto::module::ByName;
use crate::dto::preset::{PresetOut, PresetShape};
use crate::json::Json;
use crate::leads::Leads;
use crate::problem::{Cause, Problem};
use crate::seat::Lead;
use crate::text::Escaped;

const SHAPE: &str = "send {\"moduleName\": \"<module>\", \"appId\": \"/<app>\"}";

/// The presets of all modules.
#[utoipa::path(get, path = "/v1/module/preset", tag = "presets",
    responses((status = 200, body = std::collections::BTreeMap<String, Vec<PresetShape>>)))]
pub(crate) async fn all(Leads(lead): Leads) -> Result<Response, Problem> {
    let mut modules = Vec::new();
    for setup in lead.queue.modules() {
        let name = setup.module.name().as_str();
        modules.push((name, lead.queue.presets(name).await?));
    }
    let shown = modules.iter().map(|(name, presets)| {
        let presets: Vec<_> = presets.iter().map(|preset| PresetOut(preset)).collect();
        (*name, presets)
    });
    Ok(Json(ByName(shown.collect())).into_response())
}

/// The presets of one module.
#[utoipa::path(get, path = "/v1/module/preset/{m}", tag = "presets",
    params(("m" = String, Path, description = "Module")),
    responses((status = 200, body = Vec<PresetShape>), (status = 404, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn of_module(Leads(lead): Leads, Path(module): Path<String>) -> Result<Response, Problem> {
    let presets = lead.queue.presets(&module).await?;
    let shown: Vec<_> = presets.iter().map(|preset| PresetOut(preset)).collect();
    Ok(Json(shown).into_response())
}

/// Creates or replaces a preset.
#[utoipa::path(post, path = "/v1/module/preset", tag = "presets", request_body = PresetShape,
    responses((status = 200, body = Done, description = "Stored; or a Refusal"),
        (status = 400, body = crate::dto::Refusal<'static>), (status = 503, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn create(Leads(lead): Leads, posted: Posted) -> Result<Response, Problem> {
    put(&lead, &posted).await
}

/// The same as POST.
#[utoipa::path(put, path = "/v1/module/preset", tag = "presets", request_body = PresetShape,
    responses((status = 200, body = Done, description = "Stored; or a Refusal"),
        (status = 400, body = crate::dto::Refusal<'static>), (status = 503, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn replace(Leads(lead): Leads, posted: Posted) -> Result<Response, Problem> {
    put(&lead, &posted).await
}

async fn put(lead: &Lead, posted: &Posted) -> Result<Response, Problem> {
    let mut fields = posted.fields()?;
    if fields.is_empty() {
        return Err(Problem::mild(Cause::BadType, "No preset was sent").hint(SHAPE));
    }
    let module = loaded(lead, fields.remove("moduleName"))?;
    let app = app_id(fields.remove("appId"))?;
    let status = match fields.remove("status") {
        None | Some(Value::Null) => "".into(),
        Some(Value::String(status)) => status.into(),
        Some(_) => return Err(Problem::mild(Cause::BadType, "status must be a text, such as \"enabled\"")),
    };
    fields.remove("lastEdit");
    let options = fields.remove("options").unwrap_or_default();
    let preset = Preset { app: app.clone(), module, status, options, last_edit: None, extra: fields };
    let name = preset.module.clone();
    let what = match lead.queue.put_preset(preset).await.map_err(refused)? {
        PresetChange::Created => "created",
        PresetChange::Modified => "modified",
    };
    Ok(Json(Done::new(format!("AppId for module {name} {what}: {app}"))).into_response())
}

/// Removes a preset, named by query or body; the query wins if it has both names.
#[utoipa::path(delete, path = "/v1/module/preset", tag = "presets", request_body = Option<PresetShape>,
    params(("moduleName" = Option<String>, Query), ("appId" = Option<String>, Query)),
    responses((status = 200, body = Done, description = "Removed; or a Refusal"),
        (status = 400, body = crate::dto::Refusal<'static>), (status = 503, body = crate::dto::Refusal<'static>)))]
pub(crate) async fn delete(
    Leads(lead): Leads,
    RawQuery(query): RawQuery,
    posted: Posted,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let mut fields: Map<String, Value> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    if !fields.contains_key("moduleName") || !fields.contains_key("appId") {
        fields = posted.fields()?;
    }
    if fields.is_empty() {
        let hint = "name it: DELETE /v1/module/preset?moduleName=<module>&appId=/<app>";
        return Err(Problem::mild(Cause::BadType, "No preset was named").hint(hint));
    }
    let module = loaded(&lead, fields.remove("moduleName"))?;
    let app = app_id(fields.remove("appId"))?;
    if lead.queue.delete_preset(module.as_str(), &app).await.map_err(refused)? {
        Ok(Json(Done::new(format!("AppId for module {module} deleted: {app}"))).into_response())
    } else {
        let message = format!("Error removing preset {app} for \"{module}\": not found");
        Err(Problem::mild(Cause::NotFound, message))
    }
}

fn refused(error: CommandError) -> Problem {
    match error {
        CommandError::UnknownModule(name) => unknown(&name),
        other => other.into(),
    }
}

fn unknown(name: &str) -> Problem {
    tracing::error!(context = "ModulePreset", "Module not found: {}", Escaped(name));
    Problem::mild(Cause::UnknownModule, format!("Module not found: {name}"))
        .hint("GET /v1/module/list names the loaded modules; names are case-sensitive")
}

fn loaded(lead: &Lead, name: Option<Value>) -> Result<ModuleName, Problem> {
    let name = match name {
        Some(Value::String(name)) => name,
        None | Some(Value::Null) => {
            return Err(Problem::mild(Cause::BadType, "moduleName is missing").hint(SHAPE));
        }
        Some(_) => return Err(Problem::mild(Cause::BadType, "moduleName must be a text").hint(SHAPE)),
    };
    let mut names = lead.queue.modules().iter().map(|setup| setup.module.name());
    names.find(|known| known.as_str() == name).cloned().ok_or_else(|| unknown(&name))
}

fn app_id(value: Option<Value>) -> Result<AppId, Problem> {
    let reason = match value {
        Some(Value::String(text)) => match AppId::parse(&text) {
            Ok(app) => return Ok(app),
            Err(error) => error.to_string(),
        },
        None | Some(Value::Null) => "appId is missing".to_owned(),
        Some(_) => "appId must be a text".to_owned(),
    };
    tracing::error!(context = "ModulePreset", "Error appId is invalid set: {}", Escaped(&reason));
    Err(Problem::mild(Cause::BadType, reason).hint(SHAPE))
}
