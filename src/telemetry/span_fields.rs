//! Formatting of a request span's fields. The `fmt` layer of `tracing-subscriber` formats them too, where nobody has done
//! it before, and those that a span gets later, in three times as many instructions; every request pays it, even one
//! that logs nothing.

use std::{
    fmt::{self, Write as _},
    mem::take,
};

use serde::Serialize;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    field::RecordFields,
    fmt::{
        FormatFields, FormattedFields,
        format::{DefaultFields, JsonFields, Writer},
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
                span.extensions_mut().insert(FormattedFields::<TextFields>::new(text.0));
            }
            Form::Json => {
                let mut json = Json(String::with_capacity(192));
                json.0.push('{');
                attributes.record(&mut json);
                json.0.push('}');
                span.extensions_mut().insert(FormattedFields::<JsonMembers>::new(json.0));
            }
        }
    }
}

/// Formatter of fields as text, which appends what a span gets later.
#[derive(Default)]
pub(super) struct TextFields(DefaultFields);

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut text = Text(take(&mut current.fields));
        fields.record(&mut text);
        current.fields = text.0;
        Ok(())
    }
}

/// Formatter of fields as JSON, which appends what a span gets later; the one of `tracing-subscriber` parses what is
/// there. Of two members of one name, readers take the later.
#[derive(Default)]
pub(super) struct JsonMembers(JsonFields);

impl<'writer> FormatFields<'writer> for JsonMembers {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut json = Json(take(&mut current.fields));
        if json.0.pop().is_none() {
            json.0.push('{');
        }
        fields.record(&mut json);
        json.0.push('}');
        current.fields = json.0;
        Ok(())
    }
}

/// Fields as `name=value name=value`.
struct Text(String);

impl Text {
    fn begin(&mut self, field: &Field) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(field.name());
        self.0.push('=');
    }
}

impl Visit for Text {
    /// Without quotes where the text is one visible word, as those of a request's span are; any other is escaped, so that it
    /// forges no line.
    fn record_str(&mut self, field: &Field, value: &str) {
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return self.record_debug(field, &value);
        }
        self.begin(field);
        self.0.push_str(value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.begin(field);
        // Writing to a String does not fail.
        let _ = write!(self.0, "{value:?}");
    }
}

/// Members of a JSON object.
struct Json(String);

impl Json {
    fn member(&mut self, field: &Field, value: impl Serialize) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let value = serde_json::to_string(&value).unwrap_or_default();
        // Writing to a String does not fail.
        let _ = write!(self.0, "\"{}\":{value}", field.name());
    }
}

impl Visit for Json {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field, format!("{value:?}"));
    }
}
