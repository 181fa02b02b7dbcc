//! Does: runs any plan, with a journal; resume and undo.
