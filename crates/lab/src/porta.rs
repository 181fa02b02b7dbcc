//! A database of porta's shape: 78 tables whose rows belong to a tenant, a trigger on each that fills in whose, and the procedure that numbers invoices, on MySQL
//! and on PostgreSQL. In words of our own; names, and what refers to what, are porta's (`lib/system/database/definitions`).

/// Table, the column by which its tenant is found, and the table that this names; without one the column is the tenant itself.
const TABLES: [(&str, &str, &str); 78] = [
    ("accounts", "provider_account_id", ""),
    ("audits", "provider_id", ""),
    ("account_settings", "account_id", "accounts"),
    ("alerts", "account_id", "accounts"),
    ("api_docs_services", "account_id", ""),
    ("application_keys", "application_id", "cinstances"),
    ("billing_strategies", "account_id", ""),
    ("cinstances", "plan_id", "plans"),
    ("configuration_values", "configurable_id", "services"),
    ("features", "featurable_id", "services"),
    ("features_plans", "feature_id", "features"),
    ("fields_definitions", "account_id", ""),
    ("forums", "account_id", ""),
    ("invitations", "account_id", "accounts"),
    ("invoices", "provider_account_id", ""),
    ("line_items", "invoice_id", "invoices"),
    ("mail_dispatch_rules", "account_id", "accounts"),
    ("message_recipients", "message_id", "messages"),
    ("messages", "sender_id", "accounts"),
    ("metrics", "service_id", "services"),
    ("moderatorships", "forum_id", "forums"),
    ("payment_transactions", "invoice_id", "invoices"),
    ("plan_metrics", "plan_id", "plans"),
    ("plans", "issuer_id", "services"),
    ("policies", "account_id", "accounts"),
    ("posts", "forum_id", "forums"),
    ("pricing_rules", "plan_id", "plans"),
    ("profiles", "account_id", "accounts"),
    ("referrer_filters", "application_id", "cinstances"),
    ("services", "account_id", ""),
    ("settings", "account_id", "accounts"),
    ("authentication_providers", "account_id", "accounts"),
    ("slugs", "sluggable_id", "services"),
    ("topic_categories", "forum_id", "forums"),
    ("topics", "forum_id", "forums"),
    ("usage_limits", "metric_id", "metrics"),
    ("user_topics", "topic_id", "topics"),
    ("users", "account_id", "accounts"),
    ("web_hooks", "account_id", ""),
    ("categories", "account_id", ""),
    ("category_types", "account_id", ""),
    ("tags", "account_id", ""),
    ("taggings", "tag_id", "tags"),
    ("legal_terms", "account_id", ""),
    ("legal_term_versions", "legal_term_id", "legal_terms"),
    ("legal_term_acceptances", "legal_term_id", "legal_terms"),
    ("legal_term_bindings", "legal_term_id", "legal_terms"),
    ("member_permissions", "user_id", "users"),
    ("cms_sections", "provider_id", ""),
    ("cms_permissions", "group_id", "cms_groups"),
    ("cms_groups", "provider_id", ""),
    ("cms_group_sections", "group_id", "cms_groups"),
    ("cms_templates", "provider_id", ""),
    ("cms_templates_versions", "provider_id", ""),
    ("cms_files", "provider_id", ""),
    ("log_entries", "provider_id", "accounts"),
    ("cms_redirects", "provider_id", ""),
    ("proxies", "service_id", "services"),
    ("backend_apis", "account_id", "accounts"),
    ("backend_api_configs", "backend_api_id", "backend_apis"),
    ("proxy_rules", "proxy_id", "proxies"),
    ("provider_constraints", "provider_id", ""),
    ("proxy_configs", "proxy_id", "proxies"),
    ("access_tokens", "owner_id", "users"),
    ("event_store_events", "provider_id", ""),
    ("go_live_states", "account_id", ""),
    ("notification_preferences", "user_id", "users"),
    ("onboardings", "account_id", "accounts"),
    ("payment_details", "account_id", "accounts"),
    ("payment_intents", "invoice_id", "invoices"),
    ("payment_gateway_settings", "account_id", ""),
    ("service_tokens", "service_id", "services"),
    ("sso_authorizations", "user_id", "users"),
    ("provided_access_tokens", "user_id", "users"),
    ("oidc_configurations", "oidc_configurable_id", "proxies"),
    ("gateway_configurations", "proxy_id", "proxies"),
    ("email_configurations", "account_id", ""),
    ("annotations", "annotated_id", "services"),
];

const INVOICE_COLUMNS: &str = ", friendly_id varchar(255) DEFAULT 'fix', period date";
const STRATEGY_COLUMNS: &str = ", numbering_period varchar(255) DEFAULT 'monthly'";
const ACCOUNT_COLUMNS: &str = ", master boolean, buyer boolean";

/// What a table has besides.
fn more(table: &str) -> &'static str {
    match table {
        "accounts" => ACCOUNT_COLUMNS,
        "invoices" => INVOICE_COLUMNS,
        "billing_strategies" => STRATEGY_COLUMNS,
        "features" | "plans" | "slugs" | "configuration_values" | "annotations" => ", type varchar(255) NOT NULL DEFAULT 'Service'",
        _ => "",
    }
}

/// The statements that make it on MySQL and MariaDB, rows included; triggers are left off for those by `@disable_triggers`, as porta does it.
#[must_use]
pub fn mysql() -> Vec<String> {
    let mut all = vec![
        "CREATE TABLE invoice_counters (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, provider_account_id bigint NOT NULL, invoice_prefix varchar(255) NOT NULL, \
         invoice_count int DEFAULT 0, updated_at datetime, UNIQUE KEY (provider_account_id, invoice_prefix)) DEFAULT CHARSET=utf8mb3 COLLATE=utf8mb3_bin"
            .to_owned(),
    ];
    for (at, (table, column, _)) in TABLES.iter().enumerate() {
        let (more, charset) = (more(table), if at % 5 == 0 { "utf8mb4" } else { "utf8mb3" });
        all.push(format!(
            "CREATE TABLE {table} (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, {column} bigint, name varchar(255) NOT NULL DEFAULT ''{more}, body mediumtext, \
             created_at datetime(6), updated_at datetime, tenant_id bigint, KEY index_{table}_on_{column} ({column}, name(20))) DEFAULT CHARSET={charset} COLLATE={charset}_bin"
        ));
    }
    let keys =
        [("proxy_configs", "proxy_id", "proxies"), ("policies", "account_id", "accounts"), ("payment_details", "account_id", "accounts")];
    all.extend(keys.map(|(table, column, to)| {
        format!("ALTER TABLE {table} ADD CONSTRAINT fk_rails_{table} FOREIGN KEY ({column}) REFERENCES {to} (id) ON DELETE CASCADE")
    }));
    all.push("SET @disable_triggers = 1".to_owned());
    all.extend(TABLES.iter().map(|(table, column, _)| {
        format!("INSERT INTO {table} (id, {column}, name, tenant_id, created_at) VALUES (1, 1, 'é ''one''', NULL, '2024-01-01 00:00:00.5'), (2, 2, '', 2, NULL)")
    }));
    all.push("INSERT INTO invoice_counters (provider_account_id, invoice_prefix) VALUES (2, '2024-01'), (2, '2024')".to_owned());
    all.extend(TABLES.iter().map(mysql_trigger));
    all.push(MYSQL_PROCEDURE.to_owned());
    all
}

fn mysql_trigger((table, column, parent): &(&str, &str, &str)) -> String {
    let rule = match (*table, *parent) {
        ("accounts", _) => format!("IF NEW.buyer THEN\n        SET NEW.tenant_id = NEW.{column};\n      END IF;"),
        ("invoices", _) => MYSQL_INVOICES.to_owned(),
        (_, "") => format!("IF NEW.{column} <> master_id THEN\n        SET NEW.tenant_id = NEW.{column};\n      END IF;"),
        ("features" | "plans" | "configuration_values" | "annotations", _) => format!(
            "IF NEW.type = 'Account' AND NEW.{column} <> master_id THEN\n        SET NEW.tenant_id = NEW.{column};\n      ELSEIF NEW.type = 'Service' THEN\n        \
             SET NEW.tenant_id = (SELECT tenant_id FROM {parent} WHERE id = NEW.{column} AND tenant_id <> master_id);\n      END IF;"
        ),
        _ => format!("SET NEW.tenant_id = (SELECT tenant_id FROM {parent} WHERE id = NEW.{column} AND tenant_id <> master_id);"),
    };
    format!(
        "CREATE TRIGGER {table}_tenant_id BEFORE INSERT ON {table} FOR EACH ROW BEGIN\n  DECLARE master_id numeric;\n  IF @disable_triggers IS NULL THEN\n    \
         IF NEW.tenant_id IS NULL THEN\n      SET master_id = (SELECT id FROM accounts WHERE master);\n      {rule}\n    END IF;\n  END IF;\nEND"
    )
}

const MYSQL_INVOICES: &str = "IF NEW.provider_account_id <> master_id THEN
        SET NEW.tenant_id = NEW.provider_account_id;
      END IF;
      IF NEW.friendly_id IS NOT NULL AND NEW.friendly_id <> 'fix' THEN
        /* it's subject to a race: \"don't\" */
        SET @numbering = (SELECT numbering_period FROM billing_strategies WHERE account_id = NEW.provider_account_id LIMIT 1);
        IF @numbering = 'monthly' THEN SET @form = \"%Y-%m\"; ELSE SET @form = \"%Y\"; END IF;
        SET @prefix = DATE_FORMAT(NEW.period, @form);
        SELECT id, invoice_count INTO @counter, @count FROM invoice_counters
          WHERE provider_account_id = NEW.provider_account_id AND invoice_prefix = @prefix LIMIT 1 FOR UPDATE;
        SET @count = GREATEST(COALESCE(@count, 0), COALESCE(SUBSTRING_INDEX(NEW.friendly_id, '-', -1), 0) * 1);
        UPDATE invoice_counters SET invoice_count = @count, updated_at = NEW.updated_at WHERE id = @counter;
      END IF;";

const MYSQL_PROCEDURE: &str = "CREATE PROCEDURE sp_invoices_friendly_id(invoice_id bigint) BEGIN
  DECLARE _provider bigint(20);
  DECLARE _friendly_id varchar(255);
  SELECT provider_account_id, friendly_id INTO _provider, _friendly_id FROM invoices WHERE invoices.id = invoice_id;
  IF _friendly_id IS NULL OR _friendly_id = 'fix' THEN
    SET @prefix = (SELECT DATE_FORMAT(period, \"%Y-%m\") FROM invoices WHERE id = invoice_id);
    UPDATE invoices i INNER JOIN invoice_counters c ON i.provider_account_id = c.provider_account_id AND c.invoice_prefix = @prefix
      SET i.friendly_id = CONCAT(@prefix, '-', LPAD(COALESCE(c.invoice_count, 0) + 1, 8, '0')), c.invoice_count = c.invoice_count + 1
      WHERE i.id = invoice_id;
  END IF;
END";

/// The script that makes it on PostgreSQL, rows included.
#[must_use]
pub fn postgres() -> String {
    let mut all =
        "CREATE TABLE invoice_counters (id bigserial PRIMARY KEY, provider_account_id bigint NOT NULL, invoice_prefix varchar NOT NULL, \
                   invoice_count int DEFAULT 0, updated_at timestamp(0), UNIQUE (provider_account_id, invoice_prefix));\n"
            .to_owned();
    for (table, column, _) in TABLES {
        let more = more(table);
        all.push_str(&format!(
            "CREATE TABLE {table} (id bigserial PRIMARY KEY, {column} bigint, name varchar(255) NOT NULL DEFAULT ''{more}, body text, created_at timestamp(6), \
             updated_at timestamp(0), tenant_id bigint);\nCREATE INDEX index_{table}_on_{column} ON {table} USING btree ({column}, name);\n\
             INSERT INTO {table} ({column}, name, tenant_id, created_at) VALUES (1, 'é ''one''', NULL, '2024-01-01 00:00:00.5'), (2, '', 2, NULL);\n"
        ));
    }
    all.push_str("INSERT INTO invoice_counters (provider_account_id, invoice_prefix) VALUES (2, '2024-01'), (2, '2024');\n");
    all.push_str(
        "ALTER TABLE policies ADD CONSTRAINT fk_rails_policies FOREIGN KEY (account_id) REFERENCES accounts (id) ON DELETE CASCADE;\n",
    );
    for (table, column, parent) in TABLES {
        let rule = match (table, parent) {
            ("accounts", _) => format!("IF NEW.buyer THEN NEW.tenant_id := NEW.{column}; END IF;"),
            (_, "") => format!("IF NEW.{column} <> master_id THEN\n      NEW.tenant_id := NEW.{column};\n    END IF;"),
            _ => format!("SELECT tenant_id INTO NEW.tenant_id FROM {parent} WHERE id = NEW.{column} AND tenant_id <> master_id;"),
        };
        all.push_str(&format!(
            "CREATE OR REPLACE FUNCTION tp_{table}_tenant_id() RETURNS trigger AS $$\nDECLARE\n  master_id numeric;\nBEGIN\n  \
             BEGIN\n    SELECT id INTO STRICT master_id FROM accounts WHERE master = TRUE;\n  EXCEPTION WHEN NO_DATA_FOUND THEN master_id := NULL;\n  END;\n  \
             IF NEW.tenant_id IS NULL THEN\n    {rule}\n  END IF;\n  RETURN NEW;\nEXCEPTION\n  \
             WHEN NO_DATA_FOUND THEN RAISE EXCEPTION 'Could not find tenant_id in {table}_tenant_id';\nEND;\n$$ LANGUAGE plpgsql;\n\
             CREATE TRIGGER {table}_tenant_id BEFORE INSERT ON {table} FOR EACH ROW EXECUTE PROCEDURE tp_{table}_tenant_id();\n"
        ));
    }
    all.push_str(POSTGRES_PROCEDURE);
    all
}

const POSTGRES_PROCEDURE: &str = "CREATE OR REPLACE FUNCTION sp_invoices_friendly_id(invoice_id numeric) RETURNS void AS $$
DECLARE
  v_provider numeric;
  v_form varchar(255);
BEGIN
  SELECT provider_account_id INTO v_provider FROM invoices WHERE invoices.id = invoice_id LIMIT 1;
  IF (SELECT numbering_period FROM billing_strategies WHERE account_id = v_provider LIMIT 1) = 'monthly' THEN
    v_form := 'YYYY-MM';
  ELSE
    v_form := 'YYYY';
  END IF;
  UPDATE invoices SET friendly_id = to_char(period, v_form) || '-' || lpad('1', 8, '0') WHERE id = invoice_id;
END;
$$ LANGUAGE plpgsql;
";
