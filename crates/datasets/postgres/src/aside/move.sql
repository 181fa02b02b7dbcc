-- Moves what is in the schema `home` to the schema `place`, but what belongs to an extension. Routines and operators first: they are named by types.
    FOR what IN
      SELECT format('ALTER ROUTINE %s', c.oid::regprocedure) FROM pg_proc c WHERE pronamespace = home
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = c.oid AND d.deptype = 'e')
      UNION ALL SELECT format('ALTER OPERATOR %s', c.oid::regoperator) FROM pg_operator c WHERE oprnamespace = home
        AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_operator'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    LOOP
      EXECUTE format('%s SET SCHEMA %I', what, place);
    END LOOP;
    FOR what IN
      SELECT format('ALTER %s %I.%I%s', kind, (SELECT nspname FROM pg_namespace WHERE oid = home), name, method) FROM (
        SELECT 'OPERATOR CLASS' AS kind, opcname AS name, format(' USING %I', (SELECT amname FROM pg_am WHERE oid = opcmethod)) AS method, 'pg_opclass'::regclass AS class, oid FROM pg_opclass WHERE opcnamespace = home
        UNION ALL SELECT 'OPERATOR FAMILY', opfname, format(' USING %I', (SELECT amname FROM pg_am WHERE oid = opfmethod)), 'pg_opfamily'::regclass, oid FROM pg_opfamily WHERE opfnamespace = home
        UNION ALL SELECT 'COLLATION', collname, '', 'pg_collation'::regclass, oid FROM pg_collation WHERE collnamespace = home
        UNION ALL SELECT 'CONVERSION', conname, '', 'pg_conversion'::regclass, oid FROM pg_conversion WHERE connamespace = home
        UNION ALL SELECT 'STATISTICS', stxname, '', 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext WHERE stxnamespace = home
        UNION ALL SELECT 'TEXT SEARCH CONFIGURATION', cfgname, '', 'pg_ts_config'::regclass, oid FROM pg_ts_config WHERE cfgnamespace = home
        UNION ALL SELECT 'TEXT SEARCH DICTIONARY', dictname, '', 'pg_ts_dict'::regclass, oid FROM pg_ts_dict WHERE dictnamespace = home
        UNION ALL SELECT 'TEXT SEARCH PARSER', prsname, '', 'pg_ts_parser'::regclass, oid FROM pg_ts_parser WHERE prsnamespace = home
        UNION ALL SELECT 'TEXT SEARCH TEMPLATE', tmplname, '', 'pg_ts_template'::regclass, oid FROM pg_ts_template WHERE tmplnamespace = home
        UNION ALL SELECT 'TYPE', typname, '', 'pg_type'::regclass, oid FROM pg_type t WHERE typnamespace = home AND typtype IN ('b', 'c', 'd', 'e', 'm', 'p', 'r')
          AND (typrelid = 0 OR EXISTS (SELECT 1 FROM pg_class WHERE oid = typrelid AND relkind = 'c')) AND NOT EXISTS (SELECT 1 FROM pg_type e WHERE e.typarray = t.oid)
        -- The sequence of a column goes with its table.
        UNION ALL SELECT 'TABLE', relname, '', 'pg_class'::regclass, oid FROM pg_class c WHERE relnamespace = home AND (relkind IN ('r', 'p', 'v', 'm', 'f') OR relkind = 'S'
          AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')))
      ) object WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = class AND d.objid = object.oid AND d.deptype = 'e')
    LOOP
      EXECUTE format('%s SET SCHEMA %I', what, place);
    END LOOP;
