# After enter.sh: opens what its owner may not read, so that a proof can, and closes it again. Third and fourth argument: the run's folder; "all",
# "folders" or "close".
# "lent" in the run's folder holds a record for each, ended by NUL: depth, mode in octal, path from the root. It is written out when opening. Root
# needs no right.
[ "$(id -u)" != 0 ] || exit 0
lent=${here%/}/$3/lent
close() {
    [ -s "$lent" ] || return 0
    # Those deeper down first: nothing is reached through a closed folder.
    cd -P -- "$1" || exit 71
    sort -z -rn -- "$lent" | xargs -0 -n 1 sh -c 'rest=${1#* }; [ ! -e "${rest#* }" ] || chmod -- "00${rest%% *}" "${rest#* }"' close || exit 70
    rm -f -- "$lent"
    cd -P -- "./$2" || exit 70
}
close "$1" "$2"
[ "$4" != close ] || exit 0
files=false
[ "$4" = folders ] || files=true
entries() { # what is data, as far as find can see it, that fits
    find . -mindepth 1 \( -path ./.threescale-backup -o -path ./lost+found -uid 0 -perm 0700 \) -prune -o "$@" || exit 70
}
# A file of several names is written down under each of them, with the mode that it has: files are opened when all are known.
entries \( -type d \( ! -readable -o ! -executable \) -o -type f ! -readable -exec "$files" \; \) -fprintf "$lent" "%d %m $2/%P\\0" -type d -exec chmod u+rX -- {} \;
! "$files" || entries -type f ! -readable -exec chmod u+r -- {} \;
[ ! -s "$lent" ] || cat -- "$lent"
