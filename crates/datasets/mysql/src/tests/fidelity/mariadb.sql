CREATE TABLE of_mariadb (
  id INT NOT NULL PRIMARY KEY, j JSON, hidden INT INVISIBLE DEFAULT 3, expr VARCHAR(50) DEFAULT (CONCAT('a', 'b')), un UUID, ip INET6, ip4 INET4,
  CONSTRAINT positive CHECK (id > -100), zipped BLOB COMPRESSED
)
;;
INSERT INTO of_mariadb (id, j, hidden, un, ip, ip4, zipped) VALUES
 (1, '{"a": [1, 2.50, "é"]}', 4, '123e4567-e89b-12d3-a456-426655440000', '2001:db8::ff00:42:8329', '10.1.2.3', REPEAT('abc', 1000)), (2, NULL, NULL, NULL, NULL, NULL, NULL)
