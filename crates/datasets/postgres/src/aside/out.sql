-- Moves all that is in the database's schemas aside, without touching a row: `@word@` is `before` or `stage`, `@short@` the end of the run's id, `@tag@` its mark as JSON.
-- `@fresh@` says whether a set is loaded next, which needs a `public`. Schemas of our own are renamed. What is in another's schema (`public` before version 15), or beside an extension, moves one by one. Extensions and what is not ours stay.
DO $aside$
DECLARE
  item record; what text; place text; tag jsonb := @tag@; home oid;
  kept text := 'kept__@word@_@short@_0';
  at bigint; piece bytea;
  is_new bool := false;
  -- What everybody may in `public` of a new database, and what the pg_dump of version `@client@` that wrote the set takes for granted.
  everybody text := CASE WHEN current_setting('server_version_num')::int >= 150000 OR @client@ >= 15 THEN 'USAGE' ELSE 'ALL' END;
BEGIN
  SET LOCAL search_path = pg_catalog;
  EXECUTE format('CREATE SCHEMA %I', kept);
  EXECUTE format('COMMENT ON SCHEMA %I IS %L', kept, tag || '{"live": ""}');
  EXECUTE format('CREATE TABLE %I.renamed (kind text, was text, name text)', kept);
  EXECUTE format('CREATE TABLE %I.statements (place bigint GENERATED ALWAYS AS IDENTITY, statement text)', kept);
  EXECUTE format('CREATE TABLE %I.extensions AS SELECT extname::text AS name FROM pg_extension', kept);
  EXECUTE format('CREATE TABLE %I.objects (loid oid, at bigint, data bytea)', kept);

  -- Names that a database has once.
  FOR item IN
    SELECT 'PUBLICATION' AS kind, oid, pubname::text AS name FROM pg_publication WHERE pg_has_role(pubowner, 'USAGE')
    UNION ALL SELECT 'SERVER', oid, srvname FROM pg_foreign_server WHERE pg_has_role(srvowner, 'USAGE')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_foreign_server'::regclass AND d.objid = pg_foreign_server.oid AND d.deptype = 'e')
    UNION ALL SELECT 'FOREIGN DATA WRAPPER', oid, fdwname FROM pg_foreign_data_wrapper WHERE pg_has_role(fdwowner, 'USAGE')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_foreign_data_wrapper'::regclass AND d.objid = pg_foreign_data_wrapper.oid AND d.deptype = 'e')
    UNION ALL SELECT 'EVENT TRIGGER', oid, evtname FROM pg_event_trigger WHERE pg_has_role(evtowner, 'USAGE')
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = pg_event_trigger.oid AND d.deptype = 'e')
  LOOP
    CONTINUE WHEN item.name ~ '__(before|stage)_[0-9a-z]{10}_[0-9]+$';
    place := format('%s__@word@_@short@_%s', left(item.name, 8), item.oid);
    IF item.kind = 'EVENT TRIGGER' THEN
      EXECUTE format('INSERT INTO %I.statements (statement) SELECT format(''ALTER EVENT TRIGGER %%I %%s'', evtname, CASE evtenabled WHEN ''O'' THEN ''ENABLE'' WHEN ''R'' THEN ''ENABLE REPLICA'' '
        'WHEN ''A'' THEN ''ENABLE ALWAYS'' ELSE ''DISABLE'' END) FROM pg_event_trigger WHERE oid = %s', kept, item.oid);
      EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', item.name);
    END IF;
    EXECUTE format('ALTER %s %I RENAME TO %I', item.kind, item.name, place);
    EXECUTE format('INSERT INTO %I.renamed VALUES (%L, %L, %L)', kept, item.kind, item.name, place);
  END LOOP;

  FOR item IN
    SELECT n.oid, nspname::text AS name, obj_description(n.oid, 'pg_namespace') AS comment,
        pg_has_role(nspowner, 'USAGE') AND NOT EXISTS (SELECT 1 FROM pg_extension WHERE extnamespace = n.oid) AS is_ours, pg_get_userbyid(nspowner) AS owner
      FROM pg_namespace n
      WHERE @user_schemas@ AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
  LOOP
    home := item.oid;
    place := format('%s__@word@_@short@_%s', left(item.name, 8), item.oid);
    IF item.is_ours THEN
      EXECUTE format('ALTER SCHEMA %I RENAME TO %I', item.name, place);
      EXECUTE format('COMMENT ON SCHEMA %I IS %L', place, tag || jsonb_build_object('live', item.name, 'comment', item.comment));
      IF item.name = 'public' AND @fresh@ THEN
        -- As a new database has it.
        EXECUTE 'CREATE SCHEMA public';
        EXECUTE format('GRANT %s ON SCHEMA public TO PUBLIC', everybody);
        EXECUTE format('COMMENT ON SCHEMA public IS %L', 'standard public schema');
        EXECUTE format('ALTER SCHEMA public OWNER TO %I', item.owner);
        is_new := true;
      END IF;
      CONTINUE;
    END IF;
    EXECUTE format('CREATE SCHEMA %I', place);
    EXECUTE format('COMMENT ON SCHEMA %I IS %L', place, tag || jsonb_build_object('live', item.name, 'comment', item.comment));
    @move@
  END LOOP;

  -- Large objects have no schema, only a number.
  FOR item IN SELECT m.oid, pg_get_userbyid(lomowner) AS owner, obj_description(m.oid, 'pg_largeobject') AS comment, lomacl, lomowner FROM pg_largeobject_metadata m LOOP
    at := 0;
    LOOP
      piece := lo_get(item.oid, at, 1048576);
      EXECUTE format('INSERT INTO %I.objects VALUES ($1, $2, $3)', kept) USING item.oid, at, piece;
      EXIT WHEN length(piece) < 1048576;
      at := at + 1048576;
    END LOOP;
    EXECUTE format('INSERT INTO %I.statements (statement) SELECT format(''GRANT %%s ON LARGE OBJECT %s TO %%s%%s'', privilege_type, '
      'CASE grantee WHEN 0 THEN ''PUBLIC'' ELSE quote_ident(pg_get_userbyid(grantee)) END, CASE WHEN is_grantable THEN '' WITH GRANT OPTION'' END) FROM aclexplode($1) WHERE grantee <> $2', kept, item.oid)
      USING item.lomacl, item.lomowner;
    EXECUTE format('INSERT INTO %I.statements (statement) VALUES ($1), ($2)', kept)
      USING format('COMMENT ON LARGE OBJECT %s IS %L', item.oid, item.comment), format('ALTER LARGE OBJECT %s OWNER TO %I', item.oid, item.owner);
    PERFORM lo_unlink(item.oid);
  END LOOP;

  -- Default privileges that hang on no schema that was renamed: noted, and back to what a new database has.
  FOR item IN SELECT d.oid, d.defaclrole::regrole AS role, CASE WHEN n.oid IS NULL THEN '' ELSE format('IN SCHEMA %I', n.nspname) END AS place, n.oid IS NULL AS everywhere, d.defaclobjtype AS kind,
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'L' THEN 'LARGE OBJECTS' ELSE 'SCHEMAS' END AS things, d.defaclacl AS acl
      FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace WHERE pg_has_role(d.defaclrole, 'USAGE') AND (n.oid IS NULL OR @user_schemas@)
  LOOP
    what := format('ALTER DEFAULT PRIVILEGES FOR ROLE %s %s ', item.role, item.place);
    IF item.everywhere THEN
      EXECUTE format('INSERT INTO %I.statements (statement) VALUES (%L), (%L)', kept,
        format('%s REVOKE ALL ON %s FROM %s', what, item.things, item.role), format('%s REVOKE ALL ON %s FROM PUBLIC', what, item.things));
    END IF;
    EXECUTE format('INSERT INTO %I.statements (statement) SELECT format(''%%s GRANT %%s ON %%s TO %%s%%s'', $1, privilege_type, $2, '
      'CASE grantee WHEN 0 THEN ''PUBLIC'' ELSE quote_ident(pg_get_userbyid(grantee)) END, CASE WHEN is_grantable THEN '' WITH GRANT OPTION'' END) FROM aclexplode($3)', kept)
      USING what, item.things, item.acl;
    FOR place IN SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END FROM aclexplode(item.acl) LOOP
      EXECUTE format('%s REVOKE ALL ON %s FROM %s', what, item.things, place);
    END LOOP;
    IF item.everywhere THEN
      EXECUTE format('%s GRANT ALL ON %s TO %s', what, item.things, item.role);
      IF item.kind IN ('f', 'T') THEN EXECUTE format('%s GRANT ALL ON %s TO PUBLIC', what, item.things); END IF;
    END IF;
  END LOOP;

  -- Rights on `public`, and its comment, when it is ours to change.
  FOR item IN SELECT n.oid, nspowner, pg_get_userbyid(nspowner) AS owner, coalesce(nspacl, acldefault('n', nspowner)) AS acl, obj_description(n.oid, 'pg_namespace') AS comment
      FROM pg_namespace n WHERE nspname = 'public' AND pg_has_role(nspowner, 'USAGE') AND NOT is_new
  LOOP
    EXECUTE format('INSERT INTO %I.statements (statement) VALUES (''REVOKE ALL ON SCHEMA public FROM PUBLIC''), (%L)', kept, format('REVOKE ALL ON SCHEMA public FROM %I', item.owner));
    EXECUTE format('INSERT INTO %I.statements (statement) SELECT format(''GRANT %%s ON SCHEMA public TO %%s%%s'', privilege_type, '
      'CASE grantee WHEN 0 THEN ''PUBLIC'' ELSE quote_ident(pg_get_userbyid(grantee)) END, CASE WHEN is_grantable AND grantee <> $2 THEN '' WITH GRANT OPTION'' END) FROM aclexplode($1)', kept)
      USING item.acl, item.nspowner;
    EXECUTE format('INSERT INTO %I.statements (statement) VALUES ($1), ($2)', kept)
      USING format('COMMENT ON SCHEMA public IS %L', item.comment), format('ALTER SCHEMA public OWNER TO %I', item.owner);
    FOR place IN SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END FROM aclexplode(item.acl) LOOP
      EXECUTE format('REVOKE ALL ON SCHEMA public FROM %s', place);
    END LOOP;
    EXECUTE format('GRANT ALL ON SCHEMA public TO %I', item.owner);
    EXECUTE format('GRANT %s ON SCHEMA public TO PUBLIC', everybody);
  END LOOP;
END
$aside$;
