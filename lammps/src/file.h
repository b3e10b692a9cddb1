/* A C stream that is closed on every way out. */
#ifndef DGNN_LAMMPS_FILE_H
#define DGNN_LAMMPS_FILE_H

#include <cstdio>
#include <memory>

namespace DGNN
{

struct CloseFile {
    void operator()(FILE *file) const
    {
        fclose(file);
    }
};

typedef std::unique_ptr<FILE, CloseFile> File;

} // namespace DGNN

#endif
