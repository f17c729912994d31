//! Formatting of a request span's fields. The `fmt` layer of `tracing-subscriber` formats them too, where nobody has done
//! it before, in three times as many instructions; every request pays it, even one that logs nothing.

use std::fmt::{self, Write as _};

use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        FormattedFields,
        format::{DefaultFields, JsonFields},
    },
    layer::Context,
    registry::LookupSpan,
};

/// Layer that formats the fields of the spans of one target, before the layer that writes the lines.
pub(super) struct SpanFields {
    target: &'static str,
    form: Form,
}

enum Form {
    Text,
    Json,
}

impl SpanFields {
    /// Makes the layer for lines of text.
    pub(super) fn text(target: &'static str) -> Self {
        Self { target, form: Form::Text }
    }

    /// Makes the layer for lines of JSON.
    pub(super) fn json(target: &'static str) -> Self {
        Self { target, form: Form::Json }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanFields {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|span| span.metadata().target() == self.target) else { return };
        match self.form {
            Form::Text => {
                let mut text = Text(String::with_capacity(128));
                attributes.record(&mut text);
                span.extensions_mut().insert(FormattedFields::<DefaultFields>::new(text.0));
            }
            Form::Json => {
                let mut json = Json(String::with_capacity(192));
                json.0.push('{');
                attributes.record(&mut json);
                json.0.push('}');
                span.extensions_mut().insert(FormattedFields::<JsonFields>::new(json.0));
            }
        }
    }
}

/// Fields as `name=value name=value`.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(field.name());
        self.0.push('=');
        // Writing to a String does not fail.
        let _ = write!(self.0, "{value:?}");
    }
}

/// Members of a JSON object.
struct Json(String);

impl Visit for Json {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let quoted = serde_json::to_string(&format!("{value:?}")).unwrap_or_default();
        // Writing to a String does not fail.
        let _ = write!(self.0, "\"{}\":{quoted}", field.name());
    }
}
