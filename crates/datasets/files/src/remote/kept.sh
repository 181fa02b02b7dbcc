# The kilobytes of a run's folder. Arguments: root, the run's folder.
export LC_ALL=C
unset CDPATH DU_BLOCK_SIZE BLOCK_SIZE BLOCKSIZE POSIXLY_CORRECT
cd -P -- "$1" || exit 71
if [ -d "$2" ]; then
    du -sk -- "$2"
else
    echo 0
fi
