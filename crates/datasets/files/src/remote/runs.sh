# What the folders of runs say. Arguments: root, "sizes" or "". For each, ended by NUL: its name, mark.json, swap.json,
# when that (in place staged.json) was written, the names that are in it, kilobytes, replaced-by.
export LC_ALL=C
unset CDPATH DU_BLOCK_SIZE BLOCK_SIZE BLOCKSIZE POSIXLY_CORRECT
cd -P -- "$1" || exit 71
# A file or a link of that name is the owner's: runs refuse to use it.
if [ -L .threescale-backup ] || [ ! -d .threescale-backup ]; then
    exit 0
fi
cd -P -- .threescale-backup || exit 70
# A folder that cannot be listed must not look empty.
ls >/dev/null || exit 70
for name in *; do
    if [ -L "./$name" ] || [ ! -d "./$name" ]; then
        continue
    fi
    printf '%s\0' "$name"
    for file in mark.json swap.json; do
        if [ -f "./$name/$file" ] && [ ! -L "./$name/$file" ]; then
            timeout 60 head -c 1048576 -- "./$name/$file" || exit 70
        fi
        printf '\0'
    done
    stat -c %.9Y -- "./$name/swap.json" 2>/dev/null || stat -c %.9Y -- "./$name/staged.json" 2>/dev/null
    printf '\0'
    for part in staged.json stage before late since since-is-in-stage some; do
        if [ -e "./$name/$part" ]; then
            printf '%s ' "$part"
        fi
    done
    printf '\0'
    if [ "$2" = sizes ]; then
        du -sk -- "./$name" | cut -f 1
    fi
    printf '\0'
    if [ -f "./$name/replaced-by" ] && [ ! -L "./$name/replaced-by" ]; then
        timeout 60 head -c 100 -- "./$name/replaced-by" || exit 70
    fi
    printf '\0'
done
