# After enter.sh, in the run's folder: what the volume keeps: unpacks files and packs them again.
rm -rf -- ./probe ./probe-first ./probe-last
# What cannot be set shows in what is read back.
tar --extract --file=- --same-permissions --numeric-owner --no-same-owner --xattrs '--xattrs-include=*' 2>/dev/null
cat >/dev/null
tar --create --file=- --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner --xattrs '--xattrs-include=*' \
    ./probe ./probe-first ./probe-last || exit
rm -f -- ./probe ./probe-first ./probe-last
