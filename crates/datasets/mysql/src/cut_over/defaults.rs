//! Defaults that a sequence makes: MariaDB keeps them with the name of the schema in which the table was made, and so those of the staged copy name it after the swap.
//!
//! A table is opened for a change only while the sequence that it names is there. So another one stands in for it under that name, until the change is made.

use plan::Result;
use plan::ports::Event;

use super::Swap;
use crate::quote;
use crate::record::Document;
use crate::schema::{Schema, read};

/// Gives them to the restored tables again, in the live database: a change of the definition alone. One that the server refuses is told.
pub(super) fn put_right(swap: &mut Swap<'_>) -> Result<()> {
    let set: Schema = swap.record.need(&mut swap.session, Document::Set)?;
    let of_columns = set.tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
    let mut made = of_columns.filter(|(_, column)| read::is_next_value(column.default.as_deref())).peekable();
    if made.peek().is_none() {
        return Ok(());
    }
    for sequence in &set.sequences {
        let stand_in = quote::qualified(&swap.schemas.stage, &sequence.name);
        swap.session.run("let a sequence stand in for one that moved", &format!("CREATE SEQUENCE IF NOT EXISTS {stand_in}"))?;
    }
    for (table, column) in made {
        let (of, name) = (quote::qualified(&swap.schemas.live, &table.name), quote::name(&column.name));
        // As the set has it, without a schema: this session's is the live one.
        let sql = format!("ALTER TABLE {of} ALTER COLUMN {name} SET DEFAULT ({})", column.default.as_deref().unwrap_or_default());
        if let Some(refusal) = swap.session.refusal("give a default its sequence", &sql)? {
            let text = format!("the default of column {name} of {of} is not what the set has: {refusal}. Do it by hand: {sql}");
            swap.context.watch.see(Event::Warning(&text));
        }
    }
    drop_stand_ins(swap, &set)
}

/// Drops those that stand in, while the staged copy is live: an undo needs their names.
pub(super) fn drop_stand_ins(swap: &mut Swap<'_>, set: &Schema) -> Result<()> {
    for sequence in &set.sequences {
        let stand_in = quote::qualified(&swap.schemas.stage, &sequence.name);
        swap.session.run("drop a sequence that stood in", &format!("DROP SEQUENCE IF EXISTS {stand_in}"))?;
    }
    Ok(())
}
