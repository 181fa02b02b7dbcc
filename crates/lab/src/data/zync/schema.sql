-- Tables of the zync database: a selection, shaped like zync's.
CREATE TYPE integration_state AS ENUM ('active', 'disabled');
CREATE TABLE schema_migrations (version varchar NOT NULL PRIMARY KEY);
CREATE TABLE ar_internal_metadata (key varchar NOT NULL PRIMARY KEY, value varchar, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE tenants (id bigserial PRIMARY KEY, endpoint text NOT NULL, access_token text NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE models (id bigserial PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES tenants, record_type varchar NOT NULL, record_id bigint NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, UNIQUE (record_type, record_id));
CREATE TABLE providers (id bigserial PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES tenants, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE services (id bigserial PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES tenants, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE proxies (id bigserial PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES tenants, service_id bigint NOT NULL REFERENCES services, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE applications (id bigserial PRIMARY KEY, tenant_id bigint NOT NULL REFERENCES tenants, service_id bigint NOT NULL REFERENCES services, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE clients (id bigserial PRIMARY KEY, service_id bigint NOT NULL REFERENCES services, tenant_id bigint NOT NULL REFERENCES tenants, client_id varchar NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, UNIQUE (client_id, service_id));
CREATE TABLE entries (id bigserial PRIMARY KEY, data jsonb, tenant_id bigint NOT NULL REFERENCES tenants, model_id bigint NOT NULL REFERENCES models, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE INDEX index_entries_on_model_id ON entries (model_id);
CREATE TABLE integrations (id bigserial PRIMARY KEY, configuration jsonb, type varchar NOT NULL, tenant_id bigint REFERENCES tenants, model_id bigint REFERENCES models, state integration_state NOT NULL DEFAULT 'active', created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE integration_states (id bigserial PRIMARY KEY, started_at timestamp, finished_at timestamp, success boolean, model_id bigint NOT NULL REFERENCES models, entry_id bigint, integration_id bigint NOT NULL REFERENCES integrations, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, UNIQUE (model_id, integration_id));
CREATE TABLE update_states (id bigserial PRIMARY KEY, started_at timestamp, finished_at timestamp, success boolean NOT NULL DEFAULT false, model_id bigint NOT NULL REFERENCES models, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, UNIQUE (model_id));
CREATE TABLE notifications (id bigserial PRIMARY KEY, model_id bigint NOT NULL REFERENCES models, data jsonb NOT NULL, tenant_id bigint NOT NULL REFERENCES tenants, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE message_bus (id bigserial PRIMARY KEY, channel text NOT NULL, value text NOT NULL, added_at timestamp NOT NULL DEFAULT now(), CHECK (octet_length(value) >= 2));
CREATE TABLE que_jobs (priority smallint NOT NULL DEFAULT 100, run_at timestamptz NOT NULL DEFAULT now(), id bigserial PRIMARY KEY, job_class text NOT NULL, error_count int NOT NULL DEFAULT 0, last_error_message text, queue text NOT NULL DEFAULT 'default', last_error_backtrace text, finished_at timestamptz, expired_at timestamptz, args jsonb NOT NULL DEFAULT '[]', data jsonb NOT NULL DEFAULT '{}', CONSTRAINT valid_args CHECK (jsonb_typeof(args) = 'array')) WITH (fillfactor = 90);
CREATE INDEX que_jobs_args_gin_idx ON que_jobs USING gin (args jsonb_path_ops);
CREATE INDEX que_poll_idx ON que_jobs (queue, priority, run_at, id) WHERE finished_at IS NULL AND expired_at IS NULL;
CREATE TABLE que_values (key text PRIMARY KEY, value jsonb NOT NULL DEFAULT '{}');
CREATE UNLOGGED TABLE que_lockers (pid int NOT NULL PRIMARY KEY, worker_count int NOT NULL, ruby_pid int NOT NULL, ruby_hostname text NOT NULL, queues text[] NOT NULL, listening boolean NOT NULL);
CREATE FUNCTION que_validate_tags(tags_array jsonb) RETURNS boolean AS $$ SELECT bool_and(jsonb_typeof(value) = 'string' AND char_length(value::text) <= 100) FROM jsonb_array_elements(tags_array) $$ LANGUAGE sql;
CREATE FUNCTION que_job_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.finished_at IS NULL THEN PERFORM pg_notify('que_listener_1', json_build_object('id', NEW.id)::text); END IF;
  RETURN NULL;
END $$;
INSERT INTO schema_migrations VALUES ('20180529092446'), ('20190603140450'), ('20211206134236');
INSERT INTO ar_internal_metadata VALUES ('environment', 'production', '2026-01-01', '2026-01-01');
INSERT INTO que_values VALUES ('que_version', '{"v": 5}');
INSERT INTO message_bus (channel, value, added_at) VALUES ('integration', '{"id": 1}', '2026-01-05 10:00:00');
