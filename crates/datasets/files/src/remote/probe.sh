# What the volume keeps: unpacks one file into the run's folder, and packs it again. Arguments: root, the run's folder.
export LC_ALL=C
unset TAR_OPTIONS POSIXLY_CORRECT CDPATH
cd -P -- "$1" || exit 71
cd -P -- "./$2" || exit 70
rm -rf -- ./probe
# What cannot be set shows in what is read back.
tar --extract --file=- --same-permissions --numeric-owner --no-same-owner --xattrs '--xattrs-include=*' 2>/dev/null
cat >/dev/null
tar --create --file=- --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner --xattrs '--xattrs-include=*' ./probe || exit
rm -f -- ./probe
