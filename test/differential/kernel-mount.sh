# Mounts a kernel overlay in a mount namespace of its own and runs a case with it as root directory.
# Everything mounted here ends with the namespace.
#
#   unshare --mount --propagation private sh kernel-mount.sh WORK NODE LOADER LIBS CHILD LAYERS [DUMP] < case.json
#
# WORK has layer-0.tar … in overlayfs's own form, base first. The host's root is mounted in the overlay until the child is
# loaded: its dynamic loader is called by path, because there is nothing else in the new root.
set -e
work=$1 node=$2 loader=$3 libs=$4 child=$5 layers=$6 dump=$7
mount -t tmpfs -o mode=755 lamella-differential "$work/fs"
cd "$work/fs"
mkdir upper work merged
lower=
i=0
while [ "$i" -lt "$layers" ]; do
  mkdir "layer-$i"
  # -P: otherwise symlinks are made last, which changes the mtime of their directories.
  tar -x -P --delay-directory-restore --numeric-owner --xattrs --xattrs-include='*' -p -f "$work/layer-$i.tar" -C "layer-$i"
  # tar leaves directories the set-group-ID bit that they inherit while they are made.
  (cd "layer-$i" && xargs -0 -r chmod g-s < "$work/layer-$i.plain")
  lower="layer-$i${lower:+:$lower}"
  i=$((i + 1))
done
mount -t overlay -o "lowerdir=$lower,upperdir=upper,workdir=work,redirect_dir=on,index=on,metacopy=off" \
  lamella-differential merged
mkdir merged/.host
mount --rbind / merged/.host
mkfifo go ready
cat > case.json
env -i PATH="$PATH" chroot merged "/.host$loader" --library-path "$libs" "/.host$node" "/.host$child" < go 3> ready &
exec 4> go
read -r word < ready
umount -l merged/.host
rmdir merged/.host
# What that left on the root directory is undone.
touch -d @0 merged
cat case.json >&4
exec 4>&-
wait $!
if [ -n "$dump" ]; then env -i "$node" "$dump" "$work/fs/merged/"; fi
# Node cannot read xattrs.
tar -c --xattrs --xattrs-include='user.*' --xattrs-include=security.capability -C merged -f "$work/final.tar" .
