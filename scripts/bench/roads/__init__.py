"""All roads, in the order in which they are measured: those that share servers stand together."""
from roads import all_at_once, bucket, check, files, postgresql, redis, sets, system_database, verify

#: Name: how the road is made, from the bench.
ROADS = {**system_database.ROADS_OF_MYSQL, **all_at_once.ROADS, **check.ROADS, **verify.ROADS, **postgresql.ROADS, **redis.ROADS,
         **system_database.ROADS_OF_MARIADB, **files.ROADS, **bucket.ROADS, **sets.ROADS}
