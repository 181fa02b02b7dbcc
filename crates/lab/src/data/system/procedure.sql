CREATE PROCEDURE sp_invoices_friendly_id(IN invoice_id BIGINT)
    COMMENT 'numbers an invoice within its provider and month: YYYY-MM-00000001'
BEGIN
  DECLARE provider BIGINT;
  DECLARE month DATE;
  DECLARE number INT;
  SELECT provider_account_id, period INTO provider, month FROM invoices WHERE id = invoice_id;
  INSERT INTO invoice_counters (provider_account_id, invoice_prefix, invoice_count, created_at, updated_at)
    VALUES (provider, DATE_FORMAT(month, '%Y-%m'), 1, UTC_TIMESTAMP(), UTC_TIMESTAMP())
    ON DUPLICATE KEY UPDATE invoice_count = invoice_count + 1, updated_at = UTC_TIMESTAMP();
  SELECT invoice_count INTO number FROM invoice_counters
    WHERE provider_account_id = provider AND invoice_prefix = DATE_FORMAT(month, '%Y-%m');
  UPDATE invoices SET friendly_id = CONCAT(DATE_FORMAT(month, '%Y-%m'), '-', LPAD(number, 8, '0')) WHERE id = invoice_id;
END
