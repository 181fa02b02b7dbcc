# Changes a run's folder and the root, by steps. Arguments: root, the run's folder, then steps with their arguments. Ends at the first that fails.
#   make TIME            makes the run's folder, for its owner only; the root keeps its time
#   clear                removes what was staged
#   empty                removes all data at the root (in place only)
#   stage                makes the folder for the staged copy
#   write FILE TEXT      writes a file of the run so that a crash leaves the old or the new
#   mounts               fails when another volume is mounted at an entry of the root
#   take FOLDER          all data at the root goes into a folder of the run, until the root stays empty
#   put FOLDER           all that is in a folder of the run goes to the root
#   root MODE UID GID TIME   the root's own metadata; where something is mounted only the time
#   remove TIME          removes the run's folder with all that is in it; the root keeps its time
# What somebody made at the root meanwhile is never overwritten: it goes to late/, and "late NAME" is written, ended by NUL.
# Every step may be begun again after a crash at any point in it.
export LC_ALL=C
unset CDPATH POSIXLY_CORRECT
root=$1
run=$2
shift 2
cd -P -- "$root" || exit 71
case $run in
.threescale-backup/?*) ;;
*) exit 70 ;;
esac

fail() {
    printf '%s\n' "$1" >&2
    exit "${2:-70}"
}

# A call whose connection broke may go on here: no two at a time.
alone() {
    [ -d "$run" ] || return 0
    waited=0
    while read -r host pid 2>/dev/null <"$run/at-work" && [ "$host" = "$(uname -n)" ] && [ "$pid" != $$ ] &&
        grep -q threescale-backup "/proc/$pid/cmdline" 2>/dev/null; do
        waited=$((waited + 1))
        [ "$waited" -le 20 ] || fail "an earlier call is still at work over there (process $pid)" 22
        sleep 1
    done
    printf '%s %s\n' "$(uname -n)" $$ >"$run/at-work" || fail "write into $run"
}

# data FOLDER ACTION...: what is data in it.
data() {
    folder=$1
    shift
    find "$folder" -mindepth 1 -maxdepth 1 ! \( -name .threescale-backup -type d \) ! \( -name lost+found -type d -uid 0 -perm 0700 \) "$@"
}

# stable FOLDER: its entries are on stable storage.
stable() {
    sync -- "$1" 2>/dev/null || sync
}

private() {
    [ ! -L "$1" ] || fail "$1 is a symbolic link"
    [ -d "$1" ] || mkdir -m 700 -- "$1" || fail "make $1"
}

# discard FOLDER: whatever the modes in it. Never follows a link or leaves the volume.
discard() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    find "$1" -xdev -type d ! -perm -u=rwx -exec chmod u+rwx {} \; || fail "remove $1"
    rm -rf --one-file-system -- "$1" || fail "remove $1"
}

write() {
    # Always a new file: one that is there may lead elsewhere.
    rm -f -- "$run/$1.new" || fail "write $1"
    printf '%s' "$2" >"$run/$1.new" || fail "write $1"
    stable "$run/$1.new"
    mv -f -- "$run/$1.new" "$run/$1" || fail "write $1"
    stable "$run"
}

# One entry that did not move with the others: FROM TO LATE. The entry of that name at the root is the one that came late.
one='
    from=$1 to=$2 late=$3
    name=${from##*/}
    [ -e "$from" ] || [ -L "$from" ] || exit 0
    if [ -e "$to/$name" ] || [ -L "$to/$name" ]; then
        if [ "$to" = . ]; then aside=./$name; else aside=$from; fi
        [ -d "$late" ] || mkdir -m 700 -- "$late" || exit 1
        number=0 as=$name
        while [ -e "$late/$as" ] || [ -L "$late/$as" ]; do
            number=$((number + 1))
            as=late-$number
            [ "$number" -lt 1000 ] || exit 1
        done
        mv -nT -- "$aside" "$late/$as" || exit 1
        printf "late %s\0" "$name"
    fi
    if [ -e "$from" ] || [ -L "$from" ]; then
        mv -nT -- "$from" "$to/$name" || exit 1
        if [ -e "$from" ] || [ -L "$from" ]; then exit 1; fi
    fi
'

# move FROM TO: all data. What stands in the way is met one by one.
move() {
    data "$1" -exec mv -n -t "$2" -- {} + 2>/dev/null
    data "$1" -exec sh -c "$one" one {} "$2" "$run/late" \;
}

take() {
    private "$run/$1"
    round=0
    while [ -n "$(data . -printf x -quit)" ]; do
        round=$((round + 1))
        if [ "$round" -gt 20 ]; then
            data . -printf '%f\n' | head -n 5 >&2
            exit 20
        fi
        move . "$run/$1" || fail "list the root"
    done
    stable "$run/$1"
    stable .
}

put() {
    private "$run/$1"
    move "$run/$1" . || fail "list $run/$1"
    [ -z "$(data "$run/$1" -printf x -quit)" ] || fail "$(data "$run/$1" -printf '%p could not be moved' -quit)"
    stable "$run/$1"
    stable .
}

root() {
    if [ "$(stat -c %d .)" != "$(stat -c %d ..)" ] || [ "$(stat -c %i .)" = "$(stat -c %i ..)" ]; then
        [ "$(stat -c '%a %u %g' .)" = "$1 $2 $3" ] || printf 'root\0'
    else
        # Five digits: fewer leave the set-group bit of a folder as it is.
        { chown -- "$2:$3" . && chmod -- "00$1" .; } 2>/dev/null || printf 'root\0'
    fi
    touch -m -d "@$4" . 2>/dev/null || :
}

alone
while [ $# -gt 0 ]; do
    step=$1
    shift
    case $step in
    make)
        [ -d .threescale-backup ] || { private .threescale-backup && { touch -m -d "@$1" . 2>/dev/null || :; }; }
        private "$run"
        alone
        shift
        ;;
    clear)
        rm -f -- "$run/staged.json" || fail "remove staged.json"
        discard "$run/stage"
        ;;
    empty)
        find . -xdev -mindepth 1 \( -path ./.threescale-backup -o -path ./lost+found \) -prune -o \
            -type d ! -perm -u=rwx -exec chmod u+rwx {} \; || fail "empty the root"
        data . -exec rm -rf --one-file-system -- {} + || fail "empty the root"
        [ -z "$(data . -printf x -quit)" ] || fail "$(data . -printf '%f could not be removed' -quit)"
        ;;
    stage) private "$run/stage" ;;
    write)
        write "$1" "$2"
        shift 2
        ;;
    mounts)
        device=$(stat -c %d .)
        # Numbers only: names may hold anything.
        if [ "$(data . -printf '%D\n' | sort -u | grep -cvx "$device")" -gt 0 ]; then
            fail "$(data . -type d -exec sh -c '[ "$(stat -c %d -- "$2")" = "$1" ] || printf %s "$2"' at "$device" {} \;)" 21
        fi
        ;;
    take)
        take "$1"
        shift
        ;;
    put)
        put "$1"
        shift
        ;;
    root)
        root "$1" "$2" "$3" "$4"
        shift 4
        ;;
    remove)
        # First: without it nobody takes what is left for a half replacement.
        rm -f -- "$run/mark.json" || fail "remove mark.json"
        discard "$run"
        rmdir .threescale-backup 2>/dev/null
        touch -m -d "@$1" . 2>/dev/null || :
        shift
        ;;
    *) fail "no such step: $step" ;;
    esac
done
exit 0
