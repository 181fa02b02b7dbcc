# What there is of some files. Arguments: root; their paths come as input, each ended by NUL. For each that is there: SHA-256, a space, path, NUL; "other" where it is no file.
export LC_ALL=C
unset CDPATH POSIXLY_CORRECT
cd -P -- "$1" || exit 71
xargs -0 -r sh -c '
    for path; do
        if [ -L "$path" ] || { [ -e "$path" ] && [ ! -f "$path" ]; }; then
            printf "other %s\0" "$path"
        elif [ -e "$path" ]; then
            sum=$(sha256sum <"$path") || exit 255
            printf "%s %s\0" "${sum%% *}" "$path"
        fi
    done
' sums
