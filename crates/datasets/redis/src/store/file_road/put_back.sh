# Puts the server's files back as they were. Arguments and promises as those of install.sh.
set -e
cd "$1"; part=$2; previous=$3; target=$4; shift 4
rm -f "$part"
[ -d "$previous" ] || exit 0
if [ -e "$previous/whole" ] && [ ! -e "$previous/noted" ]; then
  if [ -e "$previous/$target" ]; then echo had; else echo none; fi >"$previous/noted"
fi
# What goes before the file that was placed comes back first.
for name in "$@"; do
  if [ "$name" = "$target" ] || [ ! -e "$previous/$name" ]; then continue; fi
  if [ -e "$name" ]; then
    rm -rf "$previous/gone"
    mv "$name" "$previous/gone"
  fi
  mv "$previous/$name" "$name"
done
sync
if [ "$previous/$target" -ef "$target" ]; then
  rm "$previous/$target"
elif [ -e "$previous/$target" ]; then
  mv -f "$previous/$target" "$target"
elif [ "$(cat "$previous/noted" 2>/dev/null)" = none ]; then
  rm -rf "./$target"
fi
sync
rm -rf "$previous"
sync
