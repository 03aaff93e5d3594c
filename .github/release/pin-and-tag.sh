#!/usr/bin/env bash
# Make the commit of a release: action.yml names the finished image, so that nobody builds it in their job, beside what
# prepare.sh wrote. Move the tag of the version and the tag of the major version (v1) to it.
#
# Reads VERSION (v1.2.3), IMAGE (name@sha256:...), REPOSITORY and TOKEN. REMOTE may name another place to push to.
set -euo pipefail

case $VERSION in v[0-9]*.[0-9]*.[0-9]*) ;; *) echo "expected a version such as v1.2.3, found '$VERSION'" >&2; exit 4 ;; esac
case $IMAGE in *@sha256:*) ;; *) echo "expected an image by its digest, found '$IMAGE'" >&2; exit 4 ;; esac

sed -i "s|^  image: Dockerfile.*|  image: docker://$IMAGE|" action.yml
grep -q "^  image: docker://$IMAGE$" action.yml

git config user.name "github-actions[bot]"
git config user.email "41898282+github-actions[bot]@users.noreply.github.com"
git add --update
git commit -m "Release $VERSION: the action uses $IMAGE"
git tag --force "$VERSION"
git tag --force "${VERSION%%.*}"

remote=${REMOTE:-https://x-access-token:$TOKEN@github.com/$REPOSITORY}
git push --force "$remote" "refs/tags/$VERSION" "refs/tags/${VERSION%%.*}"
