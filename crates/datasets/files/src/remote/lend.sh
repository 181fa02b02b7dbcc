# After enter.sh: opens what its owner may not read, so that a proof can, and closes it again. Third and fourth argument: the run's folder; "open" or "close".
# "lent" in the run's folder holds a record for each, ended by NUL: depth, mode in octal, path. It is written out when opening. Root
# needs no right.
[ "$(id -u)" != 0 ] || exit 0
lent=${here%/}/$3/lent
close() {
    [ -s "$lent" ] || return 0
    # Those deeper down first: nothing is reached through a closed folder.
    sort -z -rn -- "$lent" | xargs -0 -n 1 sh -c 'rest=${1#* } && chmod -- "00${rest%% *}" "${rest#* }"' close || exit 70
    rm -f -- "$lent"
}
close
[ "$4" = open ] || exit 0
find . -mindepth 1 \( -path ./.threescale-backup -o -path ./lost+found -uid 0 -perm 0700 \) -prune -o \
    \( -type d \( ! -readable -o ! -executable \) -o -type f ! -readable \) -fprintf "$lent" '%d %m %p\0' -exec chmod u+rX -- {} \; || exit 70
[ ! -s "$lent" ] || cat -- "$lent"
