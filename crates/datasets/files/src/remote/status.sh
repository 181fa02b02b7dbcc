# How far a run came. Arguments: root, the run's folder. Writes the user's id and staged.json, each ended by NUL.
export LC_ALL=C
unset CDPATH
cd -P -- "$1" || exit 71
printf '%s\0' "$(id -u)"
for folder in .threescale-backup "$2"; do
    if [ -L "$folder" ]; then
        printf '%s is a symbolic link\n' "$folder" >&2
        exit 70
    fi
done
if [ ! -d "$2" ]; then
    printf '\0'
    exit 0
fi
if [ "$(stat -c %d .)" != "$(stat -c %d "$2")" ]; then
    printf '%s is on another volume than the data: nothing may be mounted at .threescale-backup\n' "$2" >&2
    exit 70
fi
if [ -f "$2/staged.json" ] && [ ! -L "$2/staged.json" ]; then
    timeout 60 head -c 1048576 -- "$2/staged.json" || exit 70
fi
printf '\0'
