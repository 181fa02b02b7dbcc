# Changes a run's folder and the root, by steps. Arguments: root, the run's folder, then steps with their arguments. Ends at the first that fails.
#   make                 makes the run's folder, for its owner only; the root keeps its time
#   room                 keeps some room on the volume, for what is written when it is full
#   clear                removes what was staged
#   empty                removes all data at the root (in place only); as root the tree is closed to its owner before
#   stage                makes the folder for the staged copy
#   write FILE TEXT      writes a file of the run so that a crash leaves the old or the new
#   movable              fails when another volume is mounted below the root, or what is at it cannot be renamed
#   unfixed              the same, but for what another user has made there
#   take FOLDER          all data at the root goes into a folder of the run, until the root stays empty
#   take-own FOLDER      the same, but for what another user has made there and this one may not move: "stays NAME" is written
#   removable            fails when something of another user's, that the run left, cannot be removed
#   replaceable          fails when something of another user's cannot be replaced (in place)
#   some                 notes the files that are staged, where they alone are put in
#   exchange forth|back  each of them takes the place of the live one, which goes to before/; or back, and what is another one by now goes to since/
#   count                notes how many entries were taken out
#   counted              fails when not all of these are there any more
#   put FOLDER           all that is in a folder of the run goes to the root
#   root MODE UID GID TIME   the root's own metadata; where something is mounted only the time; what is not as it should be is written, after "root "
#   door                 opens the tree to its owner again
#   replaced RUN         that run, which keeps what it replaced, was replaced by this one; "not-replaced RUN": not any more
#   tick                 waits until the volume's clock is past all that was done
#   since TIME stage|fail   what was changed at the root after this time goes to since/, by its path; what cannot be kept apart stays with all that was staged, or
#                        is a failure (in place)
#   intact TIME          what was changed in before/ after this time: "changed COUNT FIRST" is written, and all that was staged stays
#   remove all|keeps|live|bound   removes the run's folder, but for late/ and since/ when they are kept ("live": of a load in place); the root keeps its time.
#                        What another user owns is passed by but for "all", and "bound NAME" is written
# What somebody made at the root meanwhile is never overwritten: it goes to late/, and "late NAME" is written, ended by NUL.
# Every step may be begun again after a crash at any point in it. The run's folder is held open and reached by what it is, not by its name: whoever owns
# the tree may put something else there.
export LC_ALL=C
unset CDPATH POSIXLY_CORRECT
name=$2
cd -P -- "$1" || exit 71
shift 2
here=$(pwd -P)
here=${here%/}
exec 8<.
case $name in
.threescale-backup/?*) ;;
*) exit 70 ;;
esac
run=$name

fail() {
    printf '%s\n' "$1" >&2
    exit "${2:-70}"
}

# The owner of the root may have taken the right to write from himself.
closed=
if [ ! -w . ]; then
    closed=$(stat -c %a .)
    chmod u+rwx . 2>/dev/null || closed=
fi
trap '[ -z "$closed" ] || chmod -- "00$closed" /proc/self/fd/8/.' EXIT

# mounts: what is mounted below the root.
mounts() {
    while read -r _ _ _ _ point _; do
        case $point in
        *\\*) point=$(printf '%b' "$(printf '%s' "$point" | sed 's/\\/\\0/g')") ;;
        esac
        case $point in
        "$here"/*) printf '%s\n' "${point#"$here"/}" ;;
        esac
    done </proc/self/mountinfo
}

# hold: the run's folder is what is open as 9 from now on.
hold() {
    [ ! -L .threescale-backup ] && [ ! -L "$name" ] || fail "$name is a symbolic link"
    [ -d "$name" ] || return 0
    cd -P -- "$name" || exit 70
    [ "$(pwd -P)" = "$here/$name" ] || fail "$name leads elsewhere"
    exec 9<.
    cd -P /proc/self/fd/8 || exit 70
    run=/proc/self/fd/9
    [ -O "$run/." ] || owned || fail "$name belongs to another user"
    point=$(mounts | grep '^\.threescale-backup/')
    [ -z "$point" ] || fail "$point" 21
    alone
}

# Where root is nobody: what this user makes there belongs to whom the folder does.
owned() {
    mkdir -m 700 -- "$run/own" 2>/dev/null
    [ "$(stat -c %u -- "$run/own")" = "$(stat -c %u -- "$run/.")" ]
    status=$?
    rmdir -- "$run/own"
    return $status
}

# started PID: when a process began, in ticks since the node did (proc(5), field 22). Another pod of the same name may have a process of the same number.
started() {
    read -r stat 2>/dev/null <"/proc/$1/stat" || return
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    printf '%s' "${20}"
}

at() {
    printf '%s %s %s\n' "$(uname -n)" $$ "$(started $$)" >"$run/at-work"
}

# A call whose connection broke may go on here: no two at a time.
alone() {
    waited=0
    while read -r host pid began 2>/dev/null <"$run/at-work" && [ "$host" = "$(uname -n)" ] && [ "$pid" != $$ ] &&
        [ "$began" = "$(started "$pid")" ] && grep -q threescale-backup "/proc/$pid/cmdline" 2>/dev/null; do
        waited=$((waited + 1))
        [ "$waited" -le 20 ] || fail "an earlier call is still at work over there (process $pid)" 22
        sleep 1
    done
    at 2>/dev/null || { rm -- "$run/room" && at; } || fail "write into $name"
    shut
}

# data FOLDER ACTION...: what is data in it.
data() {
    folder=$1
    shift
    find "$folder" -mindepth 1 -maxdepth 1 ! \( -name .threescale-backup -type d \) ! \( -name lost+found -type d -uid 0 -perm 0700 \) \
        ! \( -name "$leaves" -path './*' ! -uid "$me" \( -name "$stuck" -o -type d \( ! -readable -o ! -writable -o ! -executable \) \) \) "$@"
}

# "*": what another user has made at the root, and this one may not move, is passed by. In a sticky root that is all of his.
leaves= stuck=
leave() {
    leaves='*'
    [ -n "$as_owner" ] || [ ! -k . ] || [ -O . ] || stuck='*'
}

# stable FOLDER: its entries are on stable storage.
stable() {
    sync -- "$1" 2>/dev/null || sync
}

private() {
    [ ! -L "$1" ] || fail "$1 is a symbolic link"
    [ -d "$1" ] || mkdir -m 700 -- "$1" || fail "make $1"
}

# discard FOLDER: whatever the modes in it. Never follows a link or leaves the volume. Root needs no right of an owner's. Where something is to stay for
# whose it is, all else goes.
stays=
discard() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    [ ! -L "$1" ] || { rm -f -- "$1" && return; }
    [ "$me" = 0 ] || find "$1" -xdev -type d -user "$me" ! -perm -u=rwx -exec chmod u+rwx {} \; || [ -n "$stays" ] || fail "remove $1"
    rm -rf --one-file-system -- "$1" || [ -n "$stays" ] || fail "remove $1"
}

# first_bound FOLDER...: of what the run left.
first_bound() {
    [ "$run" != "$name" ] && cd "$run/" || return 0
    for folder; do bound "$folder" "$deepest"; done | head -n 1
}

write() {
    # Always a new file: one that is there may lead elsewhere.
    rm -f -- "$run/$1.new" || fail "write $1"
    # A full volume must be undone and settled all the same.
    printf '%s' "$2" 2>/dev/null >"$run/$1.new" || { rm -- "$run/room" && printf '%s' "$2" >"$run/$1.new"; } || fail "write $1"
    stable "$run/$1.new"
    mv -f -- "$run/$1.new" "$run/$1" || fail "write $1"
    stable "$run"
}

# shut: closes the folder that was opened for its rename, wherever it is. "opened" holds its mode and inode, then its name.
shut() {
    [ -s "$run/opened" ] || return 0
    { read -r mode inode && folder=$(cat; echo .); } <"$run/opened"
    folder=${folder%.}
    for at in . "$run/before" "$run/stage" "$run/late"; do
        # One that could not be opened need not be closed.
        case $(stat -c '%i %a' -- "$at/$folder" 2>/dev/null) in
        "$inode $mode") ;;
        # Nor one that another user owns: nobody but he sets its mode.
        "$inode "*) chmod -- "00$mode" "$at/$folder" 2>/dev/null || [ ! -O "$at/$folder" ] || fail "set the mode of $folder" ;;
        esac
    done
    rm -f -- "$run/opened"
}

# One entry that did not move with the others: FROM TO RUN. The entry of that name at the root is the one that came late.
one='
    from=$1 to=$2 run=$3
    late=$run/late name=${from##*/}
    # A folder that is moved is changed: its owner must be allowed to write into it.
    move() {
        if [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && [ ! -w "$1" ]; then
            printf "%s %s\n%s" "$(stat -c %a -- "$1")" "$(stat -c %i -- "$1")" "${1##*/}" >"$run/opened.new" || exit 1
            mv -f -- "$run/opened.new" "$run/opened" && chmod u+w -- "$1" || exit 1
        fi
        mv -nT -- "$1" "$2" || exit 1
    }
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
        move "$aside" "$late/$as"
        printf "late %s\0" "$name"
    fi
    if [ -e "$from" ] || [ -L "$from" ]; then
        move "$from" "$to/$name"
        if [ -e "$from" ] || [ -L "$from" ]; then exit 1; fi
    fi
'

# move FROM TO: all data. What stands in the way is met one by one; of folders that were opened for it one at a time.
move() {
    data "$1" -exec mv -n -t "$2" -- {} + 2>/dev/null
    while [ -n "$(data "$1" -printf x -quit)" ]; do
        data "$1" -exec sh -c "$one" one {} "$2" "$run" \; -quit || return
        shut
        left=$(data "$1" -printf x | wc -c)
        [ "$left" != "$was" ] || return 0
        was=$left
    done
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
        was= move . "$run/$1" || fail "list the root"
    done
    stable "$run/$1"
    stable .
}

put() {
    private "$run/$1"
    was= move "$run/$1" . || fail "list $name/$1"
    [ -z "$(data "$run/$1" -printf x -quit)" ] || fail "$(data "$run/$1" -printf '%f could not be moved' -quit)"
    stable "$run/$1"
    stable .
}

root() {
    if [ "$(stat -c %d .)" != "$(stat -c %d ..)" ] || [ "$(stat -c %i .)" = "$(stat -c %i ..)" ]; then
        :
    else
        mode=$1
        # Set-id bits without their owner would give away somebody else's rights.
        [ "$(stat -c '%u %g' .)" = "$2 $3" ] || chown -- "$2:$3" . 2>/dev/null || mode=$(printf %o "$((0$1 & 01777))")
        # Five digits: fewer leave the set-group bit of a folder as it is.
        chmod -- "00$mode" . 2>/dev/null
        closed=
    fi
    [ "$(stat -c %a .)" = "$1" ] || printf 'root mode %s instead of %s\0' "$(stat -c %a .)" "$1"
    [ "$(stat -c %u:%g .)" = "$2:$3" ] || printf 'root owner %s instead of %s\0' "$(stat -c %u:%g .)" "$2:$3"
    touch -m -d "@$4" . 2>/dev/null || [ "$(stat -c %.9Y .)" = "$4" ] || printf 'root time of change\0'
}

# Root unpacks into a tree that nobody else can enter. What the root was is noted before.
close_door() {
    [ "$(id -u)" = 0 ] || return 0
    [ -s "$run/door" ] || write door "$(stat -c '%a %u:%g' .)"
    chown 0:0 . 2>/dev/null && chmod 00700 .
}

door() {
    [ -s "$run/door" ] || return 0
    read -r mode owner <"$run/door" || [ -n "$owner" ] || fail "read $name/door"
    chown -- "$owner" . && chmod -- "00$mode" . || fail "give the root back to $owner"
    rm -f -- "$run/door"
}

# What is newer, one folder's names at a time, in that folder: TO ROOT NAME...
since='
    to=$1 here=$2
    shift 2
    at=$(pwd -P; echo .)
    at=${at%??}
    case $at/ in
    "$here"/*) ;;
    *) exit 1 ;;
    esac
    to=$to${at#"$here"}
    mkdir -p -m 700 -- "$to" || exit 1
    for name; do
        shift
        as=$to/${name#./}
        if [ -d "$name" ] && [ ! -L "$name" ]; then
            mkdir -p -m 700 -- "$as" && printf "folder\0"
            continue
        fi
        # Made again since an earlier try: both are kept.
        if [ -e "$as" ] || [ -L "$as" ]; then mv -nT -- "$as" "$to/since-$(stat -c %i -- "$as")" || exit 1; fi
        set -- "$@" "$name"
    done
    [ $# -gt 0 ] || exit 0
    mv -n -t "$to" -- "$@" || exit 1
    printf "since %s %s\0" $# "${at#"$here"}/${1#./}"
'

data_below() {
    find . -mindepth 1 \( -path ./.threescale-backup -o -path ./lost+found -uid 0 -perm 0700 -o -name "$leaves" ! -path './*/*' ! -uid "$me" \
        \( -name "$stuck" -o -type d \( ! -readable -o ! -writable -o ! -executable \) \) \) -prune -o "$@"
}

# Where no file at all is unchanged, the platform has touched them all (fsGroup, SELinux): then what was written since counts.
newer() {
    time=$1
    shift
    if [ -n "$(data_below ! -type d ! -newerct "@$time" -printf x -quit)" ]; then
        data_below -newerct "@$time" \( ! -type d -o -newermt "@$time" \) "$@"
    else
        data_below -newerct "@$time" -newermt "@$time" "$@"
    fi
}

# Some files alone: WAY RUN ROOT, then for each "INODE SIZE TIME ./PATH". Where it is tells how far it came: in stage/ it was not put in. Nothing goes over something.
exchange='
    way=$1 run=$2 here=$3
    shift 3
    there() { [ -e "$1" ] || [ -L "$1" ]; }
    # enter LIKE: the folder of the live file; made as it is in LIKE, where one is named. Follows no link.
    enter() {
        cd -P -- "$here/" || exit 1
        at= left=$folder
        while [ -n "$left" ]; do
            part=${left%%/*}
            at=$at/$part
            case $left in */*) left=${left#*/} ;; *) left= ;; esac
            if ! there "./$part"; then
                [ -n "$1" ] || return 1
                mkdir -m 700 -- "./$part" || exit 1
                chown --reference="$1$at" -- "./$part" 2>/dev/null
                chmod --reference="$1$at" -- "./$part" || exit 1
            fi
            [ -d "./$part" ] && [ ! -L "./$part" ] && cd -P -- "./$part" || exit 1
        done
        [ "$(pwd -P; echo .)" = "$here$at
." ] || [ "$(pwd -P; echo .)" = "${here:-/}$at
." ]
    }
    move() {
        mv -nT -- "$1" "$2" && ! there "$1" || exit 1
    }
    # kept FOLDER: its folder in one of the run.
    kept() {
        mkdir -p -m 700 -- "$run/$1/$folder" || exit 1
    }
    # aside FOLDER: what somebody made.
    aside() {
        kept "$1"
        number=0 as=$name
        while there "$run/$1/$folder/$as"; do
            number=$((number + 1))
            as=$1-$number
            [ "$number" -lt 1000 ] || exit 1
        done
        move "./$name" "$run/$1/$folder/$as"
    }
    for words; do
        path=${words#* } && path=${path#* } && path=${path#* ./}
        told=${words%" ./$path"}
        name=${path##*/} folder=
        case $path in */*) folder=${path%/*} ;; esac
        stage=$run/stage/$path before=$run/before/$path
        if [ "$way" = forth ]; then
            there "$stage" || continue
            enter "$run/stage" || exit 1
            if there "./$name"; then
                if there "$before"; then
                    aside late
                    printf "late %s\0" "$path"
                else
                    kept before
                    move "./$name" "$before"
                fi
            fi
            move "$stage" "./$name"
        else
            put=yes
            if there "$stage"; then put=; fi
            if { [ -n "$put" ] || there "$before"; } && enter "" && there "./$name"; then
                if [ -n "$put" ] && [ "$(stat -c "%i %s %.9Y" -- "./$name")" = "$told" ]; then
                    kept stage
                    move "./$name" "$stage"
                else
                    aside since
                    printf "since 1 /%s\0" "$path"
                fi
            fi
            if there "$before"; then
                enter "$run/before" || exit 1
                move "$before" "./$name"
            fi
        fi
    done
'

# unfixed: nothing is mounted below the root, and nothing at it is fixed.
unfixed() {
    point=$(mounts)
    [ -z "$point" ] || fail "$point" 21
    command -v lsattr >/dev/null || return 0
    # A name may hold a line end: what follows it does not look like this.
    fixed=$({ lsattr -d . && data . -exec lsattr -d {} +; } 2>/dev/null | grep -E '^[-A-Za-z]{16,} \.(/|$)' |
        grep -E '^[^ ]*[ia]' | head -n 1)
    [ -z "$fixed" ] || fail "${fixed#* }" 23
}

hold
while [ $# -gt 0 ]; do
    step=$1
    shift
    case $step in
    make)
        time=$(stat -c %.9Y .)
        private .threescale-backup
        private "$name"
        hold
        touch -m -d "@$time" . 2>/dev/null || :
        ;;
    room) head -c 65536 /dev/urandom >"$run/room" || fail "write into $name" ;;
    clear)
        rm -f -- "$run/staged.json" || fail "remove staged.json"
        discard "$run/stage"
        ;;
    empty)
        close_door
        [ "$(id -u)" = 0 ] || find . -xdev -mindepth 1 \( -path ./.threescale-backup -o -path ./lost+found \) -prune -o \
            -type d ! -perm -u=rwx -exec chmod u+rwx {} \; || fail "empty the root"
        data . -exec rm -rf --one-file-system -- {} + || fail "empty the root"
        [ -z "$(data . -printf x -quit)" ] || fail "$(data . -printf '%f could not be removed' -quit)"
        ;;
    stage) private "$run/stage" ;;
    write)
        write "$1" "$2"
        shift 2
        ;;
    movable | unfixed)
        unfixed
        if [ "$step" = movable ]; then
            bound=$(bound . 1)
            [ -z "$bound" ] || fail "$bound" 25
        fi
        ;;
    replaceable)
        bound=$(bound . "$deepest")
        [ -z "$bound" ] || fail "$bound" 28
        ;;
    removable)
        bound=$(first_bound before stage late since)
        [ -z "$bound" ] || fail "$bound" 27
        ;;
    some)
        rm -f -- "$run/some" "$run/some.new"
        # In the order of the names: who looks at it finds it so.
        (cd -P -- "$run/stage" && find . -type f -print0 | sort -z | xargs -0 -r stat --printf '%i %s %.9Y %n\0' --) >"$run/some.new" || fail "write some"
        stable "$run/some.new"
        mv -f -- "$run/some.new" "$run/some" || fail "write some"
        stable "$run"
        ;;
    exchange)
        [ -f "$run/some" ] && [ ! -L "$run/some" ] || fail "$name/some is gone, which tells which files are put in"
        xargs -0 -r -a "$run/some" sh -c "$exchange" exchange "$1" "$run" "$here" || fail "move files in $here"
        stable .
        shift
        ;;
    count) write before-count "$(data "$run/before" -printf x | wc -c)" ;;
    counted)
        [ ! -s "$run/before-count" ] || [ "$(cat "$run/before-count")" = "$(data "$run/before" -printf x 2>/dev/null | wc -c)" ] || fail "" 26
        ;;
    take)
        take "$1"
        shift
        ;;
    take-own)
        leave
        take "$1"
        leaves=
        find . -mindepth 1 -maxdepth 1 ! -name .threescale-backup ! \( -name lost+found -uid 0 -perm 0700 \) -printf 'stays %P\0'
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
    door) door ;;
    replaced | not-replaced)
        # One that has gone meanwhile needs no note. The folder is held by what it is.
        (
            [ ! -L ".threescale-backup/$1" ] && cd -P -- ".threescale-backup/$1" 2>/dev/null || exit 0
            [ "$(pwd -P)" = "$here/.threescale-backup/$1" ] || exit 0
            rm -f -- replaced-by.new replaced-by || exit 1
            [ "$step" = not-replaced ] || { printf %s "${name#.threescale-backup/}" >replaced-by.new && mv -f -- replaced-by.new replaced-by; }
        ) || fail "note in the folder of run $1"
        shift
        ;;
    tick)
        tries=0 last=
        while rm -f -- "$run/tick" && : >"$run/tick" && made=$(stat -c %.9Y -- "$run/tick") && [ "$made" = "${last:=$made}" ] && [ "$tries" -lt 50 ]; do
            tries=$((tries + 1))
            sleep 0.02 2>/dev/null || sleep 1
        done
        rm -f -- "$run/tick"
        ;;
    since)
        [ "$2" = fail ] || leave
        newer "$1" -execdir sh -c "$since" since "$run/since" "$here" {} +
        status=$?
        # An undo does not end for it, and nothing is lost by it.
        left=$(newer "$1" ! -type d -printf '%P' -quit) || status=1
        if [ -n "$left" ] || [ "$status" != 0 ]; then
            [ "$2" = stage ] || fail "$left" 24
            write since-is-in-stage ''
            printf 'whole %s\0' "$left"
        fi
        leaves=
        shift 2
        ;;
    intact)
        changed=$([ ! -L "$run/before" ] && cd -P -- "$run/before" && newer "$1" -printf x | wc -c)
        if [ "${changed:-0}" != 0 ]; then
            write since-is-in-stage ''
            printf 'changed %s %s\0' "$changed" "$(cd -P -- "$run/before" && newer "$1" -printf %P -quit)"
        fi
        shift
        ;;
    remove)
        time=$(stat -c %.9Y .)
        [ "$run" = "$name" ] || {
            door
            gone="before stage" stays=
            case $1 in
            all | bound) gone="$gone late since" ;;
            *) [ ! -e "$run/since-is-in-stage" ] || gone=before ;;
            esac
            [ "$1" = all ] || stays=$(first_bound $gone)
            for folder in $gone; do discard "$run/$folder"; done
            if [ -n "$stays" ]; then
                printf 'bound %s\0' "${stays#* }"
            elif [ "$1" != all ] && [ "$1" != bound ] && [ -n "$(find "$run/since-is-in-stage" -print 2>/dev/null; find "$run/late" "$run/since" -mindepth 1 -print -quit 2>/dev/null)" ]; then
                # In place it tells that the load came to its end: without it the data would look half replaced.
                [ "$1" = live ] || rm -f -- "$run/staged.json"
                rm -f -- "$run/at-work" "$run/room" "$run/before-count"
            else
                # First: without it nobody takes what is left for a half replacement.
                rm -f -- "$run/mark.json" || fail "remove mark.json"
                rm -rf --one-file-system -- "$name" || fail "remove $name"
            fi
        }
        rmdir .threescale-backup 2>/dev/null
        touch -m -d "@$time" . 2>/dev/null || :
        shift
        ;;
    *) fail "no such step: $step" ;;
    esac
done
exit 0
