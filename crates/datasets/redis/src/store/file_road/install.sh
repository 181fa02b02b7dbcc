# Puts the RDB in the place of what the server loads, by one rename, and keeps the server's files. May be begun again after a crash at any point in it.
# Arguments: the data folder, the RDB, the folder of the previous files, what the server loads, then the names of all its files.
set -e
cd "$1"; part=$2; previous=$3; target=$4; shift 4
[ -d "$previous" ] || mkdir "$previous"
if [ ! -e "$previous/noted" ]; then
  # Where a run of an earlier version has placed its own already, that is not the server's.
  if [ -f "$target" ] && [ ! -e "$previous/whole" ] && [ ! -e "$previous/$target" ]; then
    ln "$target" "$previous/$target" 2>/dev/null || { cp -p "$target" "$previous/copy"; mv "$previous/copy" "$previous/$target"; }
  fi
  sync
  if [ -e "$previous/$target" ]; then echo had; else echo none; fi >"$previous/noted.new"
  mv "$previous/noted.new" "$previous/noted"
  sync
fi
mv -f "$part" "$target"
sync
for name in "$@"; do
  if [ "$name" = "$target" ] || [ ! -e "$name" ]; then continue; fi
  if [ -e "$previous/whole" ] || [ -e "$previous/$name" ]; then
    rm -rf "$previous/gone"
    mv "$name" "$previous/gone"
    rm -rf "$previous/gone"
  else
    mv "$name" "$previous/$name"
  fi
done
: >"$previous/whole"
sync
