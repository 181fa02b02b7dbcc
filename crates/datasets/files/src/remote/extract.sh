# After enter.sh: unpacks a tar stream. The names in it were checked; what is there already is never written to or through. Third argument: --same-owner or --no-same-owner.
tar --extract --file=- --same-permissions --numeric-owner "$3" --xattrs '--xattrs-include=*' --delay-directory-restore \
    --keep-old-files \
    --warning=no-timestamp --quoting-style=escape || exit
# What tar did not want of the last record.
cat >/dev/null
