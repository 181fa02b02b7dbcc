# The tree as a tar stream, in the order of restic's trees. Arguments: root; "all" or "root" (the root's own entry only); options of tar.
export LC_ALL=C
unset TAR_OPTIONS POSIXLY_CORRECT CDPATH
cd -P -- "$1" || exit 71
what=$2
shift 2
[ "$what" = all ] || set -- "$@" --no-recursion
if [ -d .threescale-backup ] && [ ! -L .threescale-backup ]; then
    set -- "$@" --exclude=./.threescale-backup
fi
if [ -n "$(find . -mindepth 1 -maxdepth 1 -name lost+found -type d -uid 0 -perm 0700)" ]; then
    set -- "$@" --exclude=./lost+found
fi
exec tar --create --file=- --format=posix --pax-option=delete=atime,delete=ctime --sort=name --numeric-owner --hard-dereference \
    --xattrs '--xattrs-include=*' --quoting-style=escape --anchored --no-wildcards "$@" .
