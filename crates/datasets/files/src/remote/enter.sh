# Enters a folder of the tree, and refuses when it is not where it should be or not this user's: whoever owns the tree may have put something else there.
# Arguments: root, folder in it.
export LC_ALL=C
unset TAR_OPTIONS POSIXLY_CORRECT CDPATH DU_BLOCK_SIZE BLOCK_SIZE BLOCKSIZE
cd -P -- "$1" || exit 71
here=$(pwd -P)
cd -P -- "./$2" || exit 70
# Where root is nobody: what this user makes there belongs to whom the folder does.
owned() {
    mkdir -m 700 own-by 2>/dev/null
    [ "$(stat -c %u own-by)" = "$(stat -c %u .)" ]
    status=$?
    rmdir own-by
    return $status
}
if [ "$2" != . ] && { [ "$(pwd -P)" != "${here%/}/$2" ] || { [ ! -O . ] && ! owned; }; }; then
    printf '%s leads elsewhere, or belongs to another user\n' "$2" >&2
    exit 70
fi
