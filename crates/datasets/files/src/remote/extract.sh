# Unpacks a tar stream. The names in it were checked; what is there already is never written to or through. Arguments: root, folder in it, --same-owner or --no-same-owner.
export LC_ALL=C
unset TAR_OPTIONS POSIXLY_CORRECT CDPATH
cd -P -- "$1" || exit 71
cd -P -- "./$2" || exit 70
tar --extract --file=- --same-permissions --numeric-owner "$3" --xattrs '--xattrs-include=*' --delay-directory-restore \
    --keep-old-files \
    --warning=no-timestamp --quoting-style=escape || exit
# What tar did not want of the last record.
cat >/dev/null
