#!/bin/sh
# Download and unpack what training draws from (Debian packages; nothing is installed, no root needed):
#     sh mmdit/training/packages.sh data/packages
# Licences are in each package's usr/share/doc/*/copyright; assets/mini/README.md lists them.
set -eu
mkdir -p "$1"
cd "$1"
for package in fonts-noto-color-emoji wordnet-base gnome-backgrounds lomiri-wallpapers-16.04 \
    lomiri-wallpapers-20.04 mate-backgrounds plasma-workspace-wallpapers sway-backgrounds ukui-wallpapers; do
    [ -d "$package" ] && continue
    apt-get download -q "$package"
    dpkg -x "$package"_*.deb "$package.partial"
    rm "$package"_*.deb
    mv "$package.partial" "$package"
done
