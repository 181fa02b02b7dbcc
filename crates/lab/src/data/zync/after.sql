CREATE TRIGGER que_job_notify AFTER INSERT ON que_jobs FOR EACH ROW EXECUTE FUNCTION que_job_notify();
COMMENT ON TABLE que_jobs IS '5';
-- Ahead of the rows, as after rolled back inserts.
SELECT setval(pg_get_serial_sequence(t, 'id'), (xpath('//row/max/text()', query_to_xml('SELECT max(id) FROM ' || t, false, true, '')))[1]::text::bigint + 100)
  FROM unnest('{tenants,models,providers,services,proxies,applications,clients,entries,integrations,integration_states,update_states,que_jobs}'::text[]) t;
