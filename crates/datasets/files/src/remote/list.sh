# The files of a tree: size and path. Argument: root.
export LC_ALL=C
unset POSIXLY_CORRECT CDPATH
cd -P -- "$1" || exit 71
find . -mindepth 1 \( -path ./.threescale-backup -o -path ./lost+found -uid 0 -perm 0700 \) -prune -o -type f -printf '%s %P\0'
