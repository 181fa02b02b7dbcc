-- Drops what `out.sql` moved aside, and nothing else: names and marks are of the run.
DO $drop$
DECLARE
  item record;
  kept text := 'kept__@word@_@short@_0';
BEGIN
  SET LOCAL search_path = pg_catalog;
  SET LOCAL client_min_messages = warning;
  IF EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = kept) THEN
    FOR item IN EXECUTE format('SELECT kind, name FROM %I.renamed', kept) LOOP
      EXECUTE format('DROP %s IF EXISTS %I CASCADE', item.kind, item.name);
    END LOOP;
  END IF;
  FOR item IN SELECT nspname FROM pg_namespace n WHERE nspname ~ '__@word@_@short@_[0-9]+$' AND obj_description(n.oid, 'pg_namespace') LIKE '%"threescale-backup"%' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', item.nspname);
  END LOOP;
END
$drop$;
