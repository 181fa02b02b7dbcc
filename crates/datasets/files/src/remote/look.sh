# A place as it is. Arguments: root, seconds for counting. Writes "name value" lines, an empty line, then a line for each entry: type, size, blocks;
# "u" after a file that cannot be read; last a line "end STATUS".
export LC_ALL=C
unset CDPATH POSIXLY_CORRECT DF_BLOCK_SIZE BLOCK_SIZE BLOCKSIZE
cd -P -- "$1" || exit 71
printf 'tar %s\n' "$(tar --version 2>&1 | head -n 1)"
printf 'find %s\n' "$(find --version 2>&1 | head -n 1)"
printf 'mv %s\n' "$(mv --version 2>&1 | head -n 1)"
printf 'uid %s\n' "$(id -u)"
printf 'blocks %s\n' "$(df -P -k . | tail -n 1)"
printf 'inodes %s\n' "$(df -P -i . | tail -n 1)"
printf 'names %s\n' "$(stat -f -c %l . 2>/dev/null)"
printf 'file-system %s\n' "$(stat -f -c %T . 2>/dev/null)"
if [ -w . ] && [ -x . ]; then echo 'writable yes'; else echo 'writable no'; fi
printf 'device %s\n' "$(stat -c %d . 2>/dev/null)"
printf 'above %s\n' "$(stat -c %d .. 2>/dev/null)"
here=$(pwd -P)
here=${here%/}
while read -r _ _ _ _ point _; do
    case $point in
    *\\*) point=$(printf '%b' "$(printf '%s' "$point" | sed 's/\\/\\0/g')") ;;
    esac
    case $point in
    "$here"/*) printf 'mount %s\n' "$(printf '%s' "${point#"$here"/}" | tr '\n' '?')" ;;
    esac
done </proc/self/mountinfo
printf 'unmovable %s\n' "$(bound . 1)"
limit=$2
[ "$2" = 0 ] || printf 'bound %s\n' "$(bound . "$deepest")"
if [ "$2" != 0 ] && command -v lsattr >/dev/null; then
    timeout "$2" lsattr -Ra . 2>/dev/null | grep -E '^[-A-Za-z]{16,} \./' | grep -E '^[^ ]*[ia]' | grep -v '/\.\.$' | head -n 1 | sed 's/^[^ ]*/fixed/'
fi
echo
[ "$2" = 0 ] && exit 0
timeout "$2" find . -mindepth 1 \( -path ./.threescale-backup -o -path ./lost+found -uid 0 -perm 0700 \) -prune -o \
    -printf '%y %s %b\n' -type f ! -readable -printf 'u\n'
echo "end $?"
