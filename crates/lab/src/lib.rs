//! Stages throw-away MySQL, MariaDB, PostgreSQL and Redis servers on loopback, and 3scale-like data.
