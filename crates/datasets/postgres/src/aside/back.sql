-- Moves back what `out.sql` moved aside: the database's schemas have nothing of those names now.
DO $back$
DECLARE
  item record; what text; place text; home oid;
  kept text := 'kept__@word@_@short@_0';
BEGIN
  SET LOCAL search_path = pg_catalog;
  FOR item IN EXECUTE format('SELECT kind, was, name FROM %I.renamed', kept) LOOP
    EXECUTE format('ALTER %s %I RENAME TO %I', item.kind, item.name, item.was);
  END LOOP;
  FOR item IN
    SELECT n.oid, nspname::text AS name, obj_description(n.oid, 'pg_namespace')::jsonb AS tag FROM pg_namespace n
      WHERE nspname ~ '__@word@_@short@_[0-9]+$' AND nspname <> kept
  LOOP
    home := item.oid;
    place := item.tag ->> 'live';
    IF NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = place) THEN
      EXECUTE format('ALTER SCHEMA %I RENAME TO %I', item.name, place);
      EXECUTE format('COMMENT ON SCHEMA %I IS %L', place, item.tag ->> 'comment');
      CONTINUE;
    END IF;
    @move@
    EXECUTE format('DROP SCHEMA %I', item.name);
  END LOOP;
  FOR item IN EXECUTE format('SELECT loid, at, data FROM %I.objects ORDER BY loid, at', kept) LOOP
    IF item.at = 0 THEN PERFORM lo_create(item.loid); END IF;
    PERFORM lo_put(item.loid, item.at, item.data);
  END LOOP;
  FOR what IN EXECUTE format('SELECT statement FROM %I.statements ORDER BY place', kept) LOOP
    -- Only who may be the owner may say so, even when he is it already.
    CONTINUE WHEN what = (SELECT format('ALTER SCHEMA public OWNER TO %I', pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'public');
    EXECUTE what;
  END LOOP;
  EXECUTE format('DROP SCHEMA %I CASCADE', kept);
END
$back$;
