# What this user may do with entries of other owners: the rules of rights.rs, which says why.
me=$(id -u)
# The capability to do what only owners may (3: FOWNER).
as_owner=$(sed -n 's/^CapEff:.*[89a-fA-F]$/yes/p' /proc/self/status 2>/dev/null)

# More levels than a tree has.
deepest=2000000000

# bound FOLDER DEPTH: the first entry in it, so deep, that this user may neither move nor remove, after a word that says why; a line end in it as "?". "limit": seconds.
bound() {
    {
        ${limit:+timeout "$limit"} find "$1" -mindepth 1 -maxdepth "$2" \( -path ./.threescale-backup -o -path ./lost+found -uid 0 -perm 0700 \) -prune -o \
            -type d ! -uid "$me" \( ! -readable -o ! -writable -o ! -executable \) -printf 'closed %p\0' -quit
        [ -n "$as_owner" ] || ${limit:+timeout "$limit"} find "$1" -maxdepth "$(($2 - 1))" -path ./.threescale-backup -prune -o -type d -perm -1000 ! -uid "$me" \
            -exec find {} -mindepth 1 -maxdepth 1 ! -name .threescale-backup ! \( -name lost+found -uid 0 -perm 0700 \) ! -uid "$me" \
            -printf 'sticky %p\0' -quit \;
    } 2>/dev/null | tr '\0\n' '\n?' | head -n 1 | sed 's|^\([a-z]* \)\./|\1|'
}
