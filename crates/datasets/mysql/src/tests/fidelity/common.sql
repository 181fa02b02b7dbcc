CREATE TABLE odd (
  id BIGINT NOT NULL AUTO_INCREMENT,
  `select` TINYINT UNSIGNED ZEROFILL, `tick``y` MEDIUMINT, bits BIT(13), bit1 BIT(1), d DECIMAL(40,15), f FLOAT, fd FLOAT(7,3), dbl DOUBLE, dd DOUBLE(12,4),
  dt DATE, dtm DATETIME(6), ts TIMESTAMP(3) NULL, tm TIME(2), y YEAR,
  c CHAR(5), vc VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, l1 VARCHAR(100) CHARACTER SET latin1, u2 VARCHAR(50) CHARACTER SET ucs2, u16 TEXT CHARACTER SET utf16,
  sj VARCHAR(50) CHARACTER SET sjis, bin BINARY(4), vb VARBINARY(300), tb TINYBLOB, lb LONGBLOB, tt TINYTEXT, mt MEDIUMTEXT,
  e ENUM('a','b''c','') DEFAULT 'a', e2 ENUM('x','y,z') NULL, s SET('p','q','r s'), g GEOMETRY, p POINT,
  `gen` BIGINT GENERATED ALWAYS AS (y * 2) VIRTUAL, gs VARCHAR(80) GENERATED ALWAYS AS (CONCAT('g', d)) STORED,
  def VARCHAR(30) NOT NULL DEFAULT 'it''s; a -- \\ "default"', cts TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (id), UNIQUE KEY u_select (`select`), KEY k_vc (vc(10), dt DESC), KEY k_gen (gen), FULLTEXT KEY ft (mt)
) ENGINE = InnoDB AUTO_INCREMENT = 5000 COMMENT = 'a ''comment'', with ) and `ticks` é 😀'
;;
INSERT INTO odd (id, `select`, `tick``y`, bits, bit1, d, f, fd, dbl, dd, dt, dtm, ts, tm, y, c, vc, l1, u2, u16, sj, bin, vb, tb, lb, tt, mt, e, e2, s, g, p, cts) VALUES
 (0, 0, -8388608, b'1010101010101', b'1', -1234567890123456789012345.123456789012345, 16777217, 1234.567, 0.1, 12345678.1234, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '-838:59:59', 0,
  '', '', '', '', '', '', '', '', '', '', '', '', '', 'y,z', '', NULL, NULL, '2020-01-01 00:00:00'),
 (-5, 255, 8388607, b'0', b'0', 0, 3.4028234e38, -0.001, 1.7976931348623157e308, -0.5, '2024-00-00', '2024-02-31 23:59:59.999999', '1970-01-01 00:00:01.001', '00:00:00.01', 2155,
  'a  ', 'emoji 😀 tab\t nl\n cr\r nul\0 back\\ quote'' end', 'é', 'ж', '😀', 'ソ', 'a\0', x'00ff090a0d5c27221a', x'00', x'ffd8ffe0', '\\N', 'full text words', 'b''c', NULL, 'p,r s', ST_GeomFromText('LINESTRING(0 0, 1 1.5)'), ST_GeomFromText('POINT(-1 2)'), '2020-01-01 00:00:00'),
 (9223372036854775806, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2020-01-01 00:00:00'),
 (7, 7, 7, NULL, NULL, 7, 1e-45, 7, 5e-324, 7, '1000-01-01', '9999-12-31 23:59:59', '2038-01-19 03:14:07.999', '12:00:00', 1970, 'x', 'Ñandú', 'ÿ', '', '', '', 'abcd', 'N', 'N', 'N', 'N', 'N', 'a', 'x', 'q', NULL, NULL, '2020-01-01 00:00:00')
;;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'
;;
INSERT IGNORE INTO odd (id, e, e2, f, dbl) VALUES (8, 'wrong', 'wrong', -0e0, -0e0)
;;
CREATE TABLE bytes (n INT AUTO_INCREMENT, b VARBINARY(300), v LONGBLOB, l VARCHAR(300) CHARACTER SET latin1, t TEXT CHARACTER SET latin1, KEY (n))
;;
CREATE TABLE nokey (a INT, b VARCHAR(10))
;;
INSERT INTO nokey VALUES (1, 'same'), (1, 'same'), (NULL, NULL), (2, '')
;;
CREATE TABLE empty_one (id INT PRIMARY KEY)
;;
CREATE TABLE `a table/with.dots é` (`col umn ñ` INT PRIMARY KEY, `b` TEXT)
;;
INSERT INTO `a table/with.dots é` VALUES (1, 'x')
;;
CREATE TABLE strange_auto (k INT NOT NULL, n INT NOT NULL AUTO_INCREMENT, PRIMARY KEY (k, n), KEY (n)) AUTO_INCREMENT = 77
;;
CREATE TABLE parted (id INT NOT NULL, at DATE NOT NULL, v INT, PRIMARY KEY (id, at), KEY (v)) PARTITION BY RANGE (YEAR(at)) (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE)
;;
INSERT INTO parted VALUES (1, '1999-01-01', 1), (1, '2001-01-01', 2)
;;
CREATE TABLE ring_a (id INT PRIMARY KEY, b INT, KEY (b))
;;
CREATE TABLE ring_b (id INT PRIMARY KEY, a INT, own INT, KEY (a), CONSTRAINT to_a FOREIGN KEY (a) REFERENCES ring_a (id) ON DELETE CASCADE, CONSTRAINT to_own FOREIGN KEY (own) REFERENCES ring_b (id))
;;
ALTER TABLE ring_a ADD CONSTRAINT to_b FOREIGN KEY (b) REFERENCES ring_b (id) ON UPDATE SET NULL
;;
SET foreign_key_checks = 0
;;
INSERT INTO ring_a VALUES (1, 1), (2, NULL)
;;
INSERT INTO ring_b VALUES (1, 1, 1), (2, 2, 1)
;;
CREATE TABLE composite (a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL, b INT NOT NULL, c DATETIME NOT NULL, v INT, UNIQUE KEY (a, b, c))
;;
INSERT INTO composite VALUES ('É', -1, '2020-01-01', 1), ('e', 0, '0000-00-00', 2)
;;
CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2
;;
CREATE VIEW z_first AS SELECT id, vc, twice(id) AS two, 'é' AS lit FROM odd
;;
CREATE VIEW a_second AS SELECT z.id FROM z_first z JOIN empty_one ON empty_one.id = z.id
;;
CREATE TRIGGER t1 BEFORE INSERT ON nokey FOR EACH ROW SET NEW.b = IFNULL(NEW.b, 'é')
;;
CREATE TRIGGER t0 BEFORE INSERT ON nokey FOR EACH ROW FOLLOWS t1 SET NEW.a = NEW.a + 1
;;
CREATE DEFINER = `nobody`@`nowhere` PROCEDURE sp_invoices_friendly_id(IN invoice_id BIGINT, INOUT other VARCHAR(20)) COMMENT 'it''s' MODIFIES SQL DATA
BEGIN
  DECLARE x VARCHAR(10) DEFAULT ';;';
  -- a comment; with a delimiter
  SELECT COUNT(*) INTO @c FROM odd;
END
;;
ALTER DATABASE COLLATE utf8mb3_general_ci
;;
CREATE PROCEDURE of_another_collation(x VARCHAR(5)) SELECT x = 'A'
;;
ALTER DATABASE COLLATE utf8mb3_bin
;;
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY STARTS '2020-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'c' DO DELETE FROM empty_one
;;
SET time_zone = '+02:00'
;;
CREATE EVENT enabled ON SCHEDULE EVERY 100 YEAR STARTS '2030-01-01 00:00:00' ON COMPLETION PRESERVE ENABLE DO DELETE FROM empty_one
;;
SET NAMES latin1
;;
CREATE TRIGGER t2 AFTER UPDATE ON empty_one FOR EACH ROW SET @x = 'plain'
;;
SET NAMES utf8mb4, time_zone = '+00:00'
;;
CREATE DEFINER = `nobody`@`nowhere` SQL SECURITY INVOKER VIEW orphan AS SELECT id FROM ring_a
