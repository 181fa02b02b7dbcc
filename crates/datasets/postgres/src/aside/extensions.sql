-- Drops the extensions that the load made: they are none of the previous data, and would keep their schema from being renamed.
DO $extensions$
DECLARE
  item record;
  before text := 'kept__before_@short@_0';
BEGIN
  SET LOCAL search_path = pg_catalog;
  SET LOCAL client_min_messages = warning;
  IF to_regclass(format('%I.extensions', before)) IS NOT NULL THEN
    FOR item IN EXECUTE format('SELECT extname FROM pg_extension WHERE pg_has_role(extowner, %L) AND extname NOT IN (SELECT name FROM %I.extensions)', 'USAGE', before) LOOP
      EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', item.extname);
    END LOOP;
  END IF;
END
$extensions$;
