CREATE TABLE of_mysql (
  id INT NOT NULL PRIMARY KEY, j JSON, hidden INT INVISIBLE DEFAULT 3, expr VARCHAR(50) DEFAULT (CONCAT('a', 'b')), sp POINT NOT NULL SRID 4326,
  u VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_as_cs, v VECTOR(3),
  CONSTRAINT positive CHECK (id > -100), CHECK (hidden <> 99) NOT ENFORCED, KEY over_expr ((id + 1)), KEY unseen (u) INVISIBLE, SPATIAL KEY (sp)
)
;;
INSERT INTO of_mysql (id, j, hidden, sp, u, v) VALUES
 (1, '{"a": [1, 2.50, "é 😀 \\" \\n", null, true]}', 4, ST_GeomFromText('POINT(10 20)', 4326), 'x', TO_VECTOR('[1, 2.5, -3]'))
;;
INSERT INTO of_mysql (id, j, sp) VALUES (2, NULL, ST_GeomFromText('POINT(0 0)', 4326)), (3, 'null', ST_GeomFromText('POINT(0 0)', 4326)), (4, '-0.0', ST_GeomFromText('POINT(0 0)', 4326))
